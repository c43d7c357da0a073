"""The object store of the benchmarks: what it answers, how late, and what it counts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import obstore
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.latency import FarStore, serve

ROOT = Path(__file__).parents[2]
DATA = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def far(clean_environment: Path, tmp_path: Path) -> Iterator[FarStore]:
    folder = tmp_path / "served"
    (folder / "days").mkdir(parents=True)
    (folder / "large").write_bytes(DATA)
    for number in range(1001):
        (folder / "days" / f"{number:04d}.nc").write_bytes(b"%d" % number)
    with serve(folder) as store:
        yield store


def test_reads_as_s3_does(far: FarStore) -> None:
    store = far.object_store()
    assert obstore.head(store, "large")["size"] == len(DATA)
    assert bytes(obstore.get(store, "large").bytes()) == DATA
    assert bytes(obstore.get_range(store, "large", start=10, length=5)) == DATA[10:15]
    assert bytes(obstore.get(store, "large", options={"range": {"suffix": 7}}).bytes()) == DATA[-7:]
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "missing")
    etag = obstore.head(store, "large")["e_tag"]
    assert obstore.get(store, "large", options={"if_match": etag}).meta["size"] == len(DATA)
    with pytest.raises(obstore.exceptions.PreconditionError):
        obstore.get(store, "large", options={"if_match": '"another"'})


def test_lists_in_pages(far: FarStore) -> None:
    store = far.object_store()
    far.take_counts()
    listed = obstore.list(store, "days/").collect()
    assert [meta["path"] for meta in listed] == [f"days/{number:04d}.nc" for number in range(1001)]
    assert far.take_counts().requests == 2
    top = obstore.list_with_delimiter(store)
    assert top["common_prefixes"] == ["days"]
    assert [meta["path"] for meta in top["objects"]] == ["large"]


def test_delays_side_by_side(far: FarStore) -> None:
    store = far.object_store()
    far.take_counts()
    start = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        paths = [f"days/{number:04d}.nc" for number in range(64)]
        list(pool.map(lambda path: obstore.get(store, path).bytes(), paths))
    taken = time.perf_counter() - start
    assert 4 * 0.040 <= taken < 64 * 0.040, "64 requests, 16 at a time"
    counts = far.take_counts()
    assert counts.requests == 64
    assert counts.bytes == 10 + 54 * 2
    assert far.take_counts().requests == 0


def test_caps_a_request(far: FarStore) -> None:
    start = time.perf_counter()
    obstore.get(far.object_store(), "large").bytes()
    assert time.perf_counter() - start >= 0.040 + len(DATA) / 90e6


def test_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "benchmarks.latency", "."]
    ended = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 0


def test_environment_leaves_with_the_block() -> None:
    before = dict(os.environ)
    with FarStore(1).entered():
        assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert dict(os.environ) == before

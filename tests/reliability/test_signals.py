"""Signals: one sentence, status 3, the old state or the new one, and the same command goes on."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from making import Recipe
from mitmproxy import http
from reliability.running import sentence, start
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.repository.claim import MARKER
from vzarr.sources.schemes import Access
from worlds.faults import Fault
from worlds.proxy import Proxy
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

FILES, OLD = 60, 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("data")
    return [str(Recipe(start=2 * n).write(folder / f"f{n}.nc")) for n in range(FILES)]


def check_stopped(stopped: subprocess.Popen[str], number: signal.Signals) -> None:
    stopped.wait(60)
    if number == signal.SIGKILL:
        assert stopped.returncode == -signal.SIGKILL
    else:
        assert stopped.returncode == 3, stopped.stderr.read()
        assert f"stopped by {number.name}; main is as it was" in sentence(stopped)
    stopped.communicate()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_build(files: list[str], tmp_path: Path, number: signal.Signals) -> None:
    """Before the first commit, and after some."""
    place = tmp_path / "repo"
    for commits in (0, 2):
        for _ in range(10):
            running = start("build", *files, "--repo", place, "--batch", "2")
            while len(list(place.glob("snapshots/*"))) <= commits and running.poll() is None:
                time.sleep(0.01)
            running.send_signal(number)
            if running.wait(60):
                break
            shutil.rmtree(place)  # the build was faster than this test
        check_stopped(running, number)
        if not commits and number != signal.SIGKILL:
            assert not place.exists() or (place / MARKER).exists()
    built = build(files, str(place), Access(), batch=2)
    assert 2 <= built.resumed < FILES
    report = verify_repository(str(place), Access(), sample=None)
    assert (report.passed, report.compared) == (True, FILES)
    assert not (place / MARKER).exists()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_append(files: list[str], tmp_path: Path, number: signal.Signals) -> None:
    """At the first object that it writes, and a moment after it."""
    place = tmp_path / "repo"
    build(files[:OLD], str(place), Access())
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for held, more in ((OLD, 40), (40, FILES)):
        before = {path.name for path in place.rglob("*")}
        running = start("append", *files[:more], "--repo", place)
        while not {path.name for path in place.rglob("*")} - before and running.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.05))
        running.send_signal(number)
        if running.wait(60):
            check_stopped(running, number)
        running.communicate()
        report = verify_repository(str(place), Access(), sample=None)
        assert report.passed, (seed, report.failures)
        assert report.compared in (held, more), seed
        append(files[:more], str(place), Access())
        assert verify_repository(str(place), Access(), sample=0).sources == more


def children(process: int) -> set[int]:
    found = Path(f"/proc/{process}/task").glob("*/children")
    return {int(number) for path in found for number in path.read_text().split()}


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_workers_end_with_the_build(
    files: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    running = start("build", *files, "--repo", tmp_path / "repo", "--workers", "2")
    while len(workers := children(running.pid)) < 3 and running.poll() is None:
        time.sleep(0.01)  # two, and Python's own that tidies up after them
    time.sleep(1)
    running.send_signal(number)
    check_stopped(running, number)
    end = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


def test_terminal_that_is_closed_is_no_reason_with_nohup(files: list[str], tmp_path: Path) -> None:
    """A signal that the caller ignores stays ignored."""
    running = start(
        *["build", *files[:3], "--repo", tmp_path / "repo"],
        before=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN),
    )
    for _ in range(20):
        time.sleep(0.1)
        running.send_signal(signal.SIGHUP)
    running.communicate(timeout=60)
    assert running.returncode == 0


STALLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import virtual_zarr
from vzarr import process
process.GRACE = float(os.environ["GRACE"])
process.prepare_streams(is_silent=True)
process.end_on_signals(lambda name: virtual_zarr.say(virtual_zarr.stopped(name)))
sys.exit(virtual_zarr.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("grace", "signals"), [(1, 1), (60, 2)])
def test_storage_that_does_not_answer(
    enter_world: Callable[[str], None],
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    grace: int,
    signals: int,
) -> None:
    """A call into it cannot be interrupted: the process ends without it, soon or at once."""
    enter_world("s3-keys")
    monkeypatch.setenv("GRACE", str(grace))
    reached = threading.Event()

    async def stall(flow: http.HTTPFlow) -> None:
        reached.set()
        await asyncio.sleep(20)
        flow.kill()

    def puts(request: http.Request) -> bool:
        return request.method == "PUT" and request.path.partition("?")[0].endswith("/repo")

    proxy.fault = Fault(before=stall, matches=puts)
    sources, place = f"s3://{ARCHIVE_BUCKET}/era5/*.nc", f"s3://{STORES_BUCKET}/store"
    arguments = ["build", sources, "--repo", place, "--region", "us-west-2"]
    running = start(*arguments, script=STALLED)
    assert reached.wait(60)
    begun = time.monotonic()
    for _ in range(signals):
        os.kill(running.pid, signal.SIGTERM)
        time.sleep(0.5)
    check_stopped(running, signal.SIGTERM)
    assert time.monotonic() - begun < 10
    proxy.fault = None

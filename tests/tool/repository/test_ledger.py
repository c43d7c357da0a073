"""A list of sources that no release writes is refused in one sentence, by every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import vzarr
import zarr
from making import Recipe


def change_text(change: Callable[[dict[str, Any]], Any]) -> Callable[[zarr.Group], None]:
    def apply(ledger: zarr.Group) -> None:
        metadata = json.loads(str(ledger.attrs["metadata"]))
        changed = change(metadata)
        ledger.attrs["metadata"] = json.dumps(metadata if changed is None else changed)

    return apply


def change_source(change: Callable[[dict[str, Any]], Any]) -> Callable[[zarr.Group], None]:
    def apply(ledger: zarr.Group) -> None:
        array: Any = ledger["sources"]
        record = json.loads(str(array[:].tolist()[0]))
        change(record)
        array[:1] = np.array([json.dumps(record)], np.dtypes.StringDType())

    return apply


DAMAGE = {
    "no text": lambda ledger: ledger.attrs.pop("metadata"),
    "no JSON": lambda ledger: ledger.attrs.update({"metadata": "{"}),
    "a list": change_text(lambda metadata: [1]),
    "no form": change_text(lambda metadata: metadata.pop("schema") and None),
    "no groups": change_text(lambda metadata: {**metadata, "groups": None}),
    "a text for a list": change_text(lambda metadata: metadata["groups"][""].update(virtual="v")),
    "a source without a URL": change_source(lambda record: record.pop("url")),
    "a source without its length": change_source(lambda record: record.pop("lengths")),
    "a size that is a text": change_source(lambda record: record.update(size="10")),
}


@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told_in_a_sentence(tmp_path: Path, damage: str) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(3)]
    repo = tmp_path / "repo"
    built = vzarr.build(files[:2], repo)
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    with theirs.transaction("main", message="damaged") as store:
        DAMAGE[damage](zarr.open_group(store, path="_virtual_zarr", mode="r+"))
    commands: dict[str, Callable[[], object]] = {
        "append": lambda: vzarr.append(files, repo),
        "remove": lambda: vzarr.remove(repo, files[0]),
        "refresh": lambda: vzarr.refresh(repo),
        "verify": lambda: vzarr.verify(repo),
    }
    for command in commands.values():
        with pytest.raises(vzarr.InputError, match=r"damaged: \w+: .*rollback shows"):
            command()
    assert vzarr.log(repo)[0].message == "damaged"
    vzarr.rollback(repo, built.snapshot)
    assert len(vzarr.append(files, repo).appended) == 1

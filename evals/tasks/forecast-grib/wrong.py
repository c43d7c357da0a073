"""Files in the order of their names: f12 comes before f6."""

import warnings
from pathlib import Path

import xarray as xr
from gribberish.virtualizarr import GribberishParser
from kit import by_hand
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_datatree

FAILS = "pressure levels: times in order"
if __name__ == "__main__":
    warnings.simplefilter("ignore")
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    trees = [
        open_virtual_datatree(
            f"file://{p.absolute()}", registry=registry, parser=GribberishParser()
        )
        for p in sorted(Path("fc").glob("*.grib2"))
    ]
    repo = by_hand.repository(Path("fc.icechunk"), Path("fc"), create=True)
    for group in ("isobar/instant", "hag/instant"):
        parts = [tree[group].to_dataset() for tree in trees]
        vds = xr.concat(parts, "time", **by_hand.COMBINE, combine_attrs="override")
        by_hand.write(repo, vds, group, group=group)
    Path("ANSWER.md").write_text("pressure levels: isobar/instant/tmp\n2 m: hag/instant/tmp\n")

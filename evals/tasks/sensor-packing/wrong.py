"""``combine_attrs="override"``: the first file's packing is applied to all."""

from pathlib import Path

from kit import by_hand

FAILS = "values"
if __name__ == "__main__":
    sst = Path("sst")
    by_hand.store(by_hand.combined(sorted(sst.glob("*.nc"))), Path("sst.icechunk"), sst)

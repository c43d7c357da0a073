"""Parsed and written: the fill value stays with the array, where nothing is masked by it."""

from pathlib import Path

from kit import by_hand
from virtualizarr.parsers import KerchunkJSONParser

FAILS = "values"
if __name__ == "__main__":
    vds = by_hand.virtual(Path("refs.json"), KerchunkJSONParser())
    by_hand.store(vds, Path("humidity.icechunk"), Path("data"))

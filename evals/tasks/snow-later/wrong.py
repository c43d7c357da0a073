"""Concatenated as it is: the gap reads as the numbers that HDF5 fills with."""

from pathlib import Path

from kit import by_hand

FAILS = "values"
if __name__ == "__main__":
    model = Path("model")
    by_hand.store(by_hand.combined(sorted(model.glob("*.nc"))), Path("model.icechunk"), model)

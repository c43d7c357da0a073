"""Default arguments of ``concat``: the mask is repeated along time."""

import warnings
from pathlib import Path

from kit import by_hand

FAILS = "dimensions"
if __name__ == "__main__":
    warnings.simplefilter("ignore")
    data = Path("data")
    options = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "outer"}
    vds = by_hand.combined(sorted(data.glob("*.nc")), **options)
    by_hand.store(vds, Path("store.icechunk"), data)

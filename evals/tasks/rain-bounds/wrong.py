"""What is loaded by default: the bounds stay virtual, and keep counting from each file's day."""

from pathlib import Path

from kit import by_hand

FAILS = "values"
if __name__ == "__main__":
    rain = Path("rain")
    vds = by_hand.combined(sorted(rain.glob("*.nc")), loadable_variables=["time", "lat", "lon"])
    by_hand.store(vds, Path("rain.icechunk"), rain)

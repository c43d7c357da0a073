"""Appended at the end: the axis goes back."""

from pathlib import Path

from kit import by_hand

FAILS = "records"
if __name__ == "__main__":
    data = Path("data")
    vds = by_hand.combined([data / "o3_2023-02-04.nc"]).drop_vars(["lat", "lon", "area"])
    repo = by_hand.repository(Path("ozone.icechunk"), data)
    by_hand.write(repo, vds, "day 4", append_dim="time")

"""Written over its region: where the new file has no chunk, the old values stay."""

from datetime import UTC, datetime
from pathlib import Path

from kit import by_hand

FAILS = "values"
if __name__ == "__main__":
    data = Path("data")
    march = by_hand.combined([data / "precip_2023-03_v2.nc"]).drop_vars(["lat", "lon", "time"])
    session = by_hand.repository(Path("rain.icechunk"), data).writable_session("main")
    now = datetime.now(UTC)
    march.vz.to_icechunk(session.store, region={"time": slice(59, 90)}, last_updated_at=now)
    session.commit("corrected March")

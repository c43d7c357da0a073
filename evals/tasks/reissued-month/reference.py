from datetime import UTC, datetime
from pathlib import Path

import zarr
from kit import by_hand

data = Path("data")
parsed_at = datetime.now(UTC)
march = by_hand.combined([data / "precip_2023-03_v2.nc"]).drop_vars(["lat", "lon", "time"])
session = by_hand.repository(Path("rain.icechunk"), data).writable_session("main")
place = slice(59, 90)
array = zarr.open_array(session.store, path="precip")
array[place] = array.fill_value  # a chunk that the file lacks would keep the old reference
march.vz.to_icechunk(session.store, region={"time": place}, last_updated_at=parsed_at)
session.commit("corrected March")

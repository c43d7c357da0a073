from pathlib import Path

import vzarr

data = sorted(str(path) for path in Path("data").glob("*.nc"))
late = "data/o3_2023-02-04.nc"
before = [path for path in data if path != late]
if __name__ == "__main__":
    vzarr.append(late, "ozone.icechunk", insert=True, sources=before, workers=1)

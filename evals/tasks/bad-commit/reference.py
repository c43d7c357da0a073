from pathlib import Path

import vzarr

if __name__ == "__main__":
    commits = vzarr.log("snow.icechunk")
    vzarr.tag("snow.icechunk", "broken")
    vzarr.rollback("snow.icechunk", commits[1].snapshot)
    days = sorted(str(path) for path in Path("data").glob("*.nc"))
    vzarr.append(days[-1], "snow.icechunk", sources=days[:-1], workers=1)

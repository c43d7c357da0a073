from pathlib import Path

import vzarr

vzarr.build("fc/*.grib2", "fc.icechunk", workers=1)
Path("ANSWER.md").write_text("pressure levels: isobar/instant/tmp\n2 m: hag/instant/tmp\n")

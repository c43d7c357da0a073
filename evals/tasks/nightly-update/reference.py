import runpy
from pathlib import Path

Path("update.py").write_text("""
import sys
from pathlib import Path

import vzarr

if __name__ == "__main__":
    try:
        if Path("station.icechunk").exists():
            vzarr.append("incoming/*.nc", "station.icechunk", workers=1)
        else:
            vzarr.build("incoming/*.nc", "station.icechunk", concat_dim="time", workers=1)
    except (vzarr.InputError, vzarr.Refused, vzarr.EnvironmentFault) as error:
        sys.exit(str(error))
""")
runpy.run_path("update.py", run_name="__main__")

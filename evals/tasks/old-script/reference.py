from pathlib import Path

Path("make_store.py").write_text("""
import shutil

import vzarr

shutil.rmtree("store.icechunk", ignore_errors=True)
vzarr.build("data/*.nc", "store.icechunk", concat_dim="time", workers=1)
""")

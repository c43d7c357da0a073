"""Word for word in today's forms: ``indexes={}`` becomes times that stay virtual."""

from pathlib import Path

FAILS = "records"
SCRIPT = """
import shutil
from pathlib import Path

from kit import by_hand

shutil.rmtree("store.icechunk", ignore_errors=True)
vds = by_hand.combined(sorted(Path("data").glob("*.nc")), loadable_variables=["lat", "lon"])
by_hand.store(vds, Path("store.icechunk"), Path("data"))
"""
if __name__ == "__main__":
    Path("make_store.py").write_text(SCRIPT)

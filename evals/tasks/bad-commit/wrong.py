"""A new repository of all files: right values, and every snapshot of others is gone."""

import shutil
from pathlib import Path

from kit import by_hand

FAILS = "history"
if __name__ == "__main__":
    path = Path("snow.icechunk")
    shutil.rmtree(path)
    repo = by_hand.store(by_hand.combined(sorted(Path("data").glob("*.nc"))), path, Path("data"))
    repo.create_tag("broken", snapshot_id=repo.lookup_branch("main"))

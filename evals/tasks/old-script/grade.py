from __future__ import annotations

from pathlib import Path

from kit import scripts, stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    for number in ("first", "second"):
        done = scripts.run(folder, "make_store.py")
        grade.check(f"{number} run ends well", done.returncode == 0, scripts.last_line(done))
    opened = stores.open_store(grade, folder / "store.icechunk")
    if opened:
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["sst"])
    return grade

from __future__ import annotations

from pathlib import Path

from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    opened = stores.open_store(grade, folder / "sst.icechunk")
    if opened:
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, {"sst": (make.CHANGED - 1) / make.MONTHS - 0.01})
    return grade

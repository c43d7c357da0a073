from __future__ import annotations

from pathlib import Path

from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    path = folder / "rain.icechunk"
    opened = stores.open_store(grade, path)
    if opened is None or not grade.check("main was changed", stores.newest(opened) != make.BUILT):
        return grade
    stores.compare(grade, opened.ds, make.truth(seed))
    stores.check_virtual(grade, opened, ["precip"])
    older = [each for each in opened.repo.ancestry(branch="main") if each.message == make.BUILT]
    if grade.check("history", older, "the first commit is not behind main"):
        first = stores.open_store(grade, path, what="first commit", snapshot_id=older[0].id)
        if first:
            stores.compare(grade, first.ds, make.truth(seed, 1), what="first commit")
    return grade

from __future__ import annotations

from pathlib import Path

from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    path = folder / "snow.icechunk"
    opened = stores.open_store(grade, path)
    # The new commit may have the message of the bad one, whose axis has a day twice.
    if opened and grade.check("main was changed", opened.ds.indexes["time"].is_unique):
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["depth"])
        behind = [each.message for each in opened.repo.ancestry(branch="main")][1:]
        grade.check("history", set(make.GOOD) <= set(behind), f"behind main: {behind}")
        grade.check("bad commit not in main", make.BAD not in behind, f"behind main: {behind}")
    broken = stores.open_store(grade, path, what="tag broken", tag="broken")
    if broken:
        tagged = next(broken.repo.ancestry(tag="broken"))
        told = f"{tagged.message}: {broken.ds.sizes}"
        right = tagged.message == make.BAD and broken.ds.sizes["time"] == 10
        grade.check("tag broken", right, told)
    return grade

from __future__ import annotations

from pathlib import Path

from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    path = folder / "ozone.icechunk"
    opened = stores.open_store(grade, path)
    if opened:
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["o3"])
        messages = [each.message for each in opened.repo.ancestry(branch="main")]
        lacking = {"days 1 to 3", "day 5", "day 6", "day 7"} - set(messages)
        grade.check("history", not lacking, f"no commits {sorted(lacking)} behind main")
    tagged = stores.open_store(grade, path, what="tag", tag="paper-v1")
    if tagged:
        stores.compare(grade, tagged.ds, make.truth(seed, late=False), what="tag")
    return grade

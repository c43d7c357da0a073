from __future__ import annotations

from pathlib import Path

from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    old = folder / "disk1"
    grade.check("disk1 is not there", not old.exists() and not old.is_symlink(), "it is")
    opened = stores.open_store(grade, folder / "wave.icechunk")
    if opened:
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["swh"])
        places = opened.session.all_virtual_chunk_locations()
        behind = [place for place in places if "/disk1/" in place]
        grade.check("references lead to disk2", not behind, behind[:1])
        messages = [each.message for each in opened.repo.ancestry(branch="main")]
        grade.check("history", {"2001 and 2002", "2003"} <= set(messages), messages)
    return grade

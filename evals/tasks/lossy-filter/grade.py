from __future__ import annotations

import re
from pathlib import Path

from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    report = folder / "REPORT.md"
    text = report.read_text() if report.is_file() else ""
    told = re.findall(r"^\s*[-*]\s*`?(\w+)`?\s*:", text, re.MULTILINE)
    grade.told = ", ".join(told)
    grade.check("REPORT.md", told == [make.LOST], f"names {told}, not [{make.LOST!r}]: {text}")
    opened = stores.open_store(grade, folder / "obs.icechunk")
    if opened:
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["t2m", "rh"])
        stored = make.LOST in opened.ds.variables
        grade.check("nothing copied", not stored, f"{make.LOST} is in the repository")
        if stored:
            whole = make.files.truth(list(make.archive(seed).values()))
            stores.compare(grade, opened.ds[[make.LOST]], whole[[make.LOST]], what=make.LOST)
    return grade

from __future__ import annotations

from pathlib import Path

import icechunk
from kit import emulators, stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    log = folder / ".log"
    asked = len(emulators.requests(log))
    grade.check("requests", asked <= make.LIMIT, f"{asked} requests")
    anonymous = icechunk.s3_credentials(anonymous=True)
    opened = stores.open_store(grade, folder / "profiles.icechunk", s3=anonymous)
    if opened:
        before = len(emulators.requests(log))
        try:
            opened.ds.conc[151].load()
            told = f"{len(emulators.requests(log)) - before} requests"
            grade.check("one step", len(emulators.requests(log)) - before <= 3, told)
        except Exception as error:
            grade.check("one step", False, f"{type(error).__name__}: {error}")
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["conc"])
    return grade

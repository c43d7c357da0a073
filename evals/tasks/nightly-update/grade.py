from __future__ import annotations

from pathlib import Path

from kit import scripts, stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    path = folder / "station.icechunk"
    grade.check("script was run", path.is_dir(), "no station.icechunk")
    _run(grade, folder, "without new files")
    _look(grade, path, make.truth(seed, 6), "six days")
    for day in (7, 8):
        make.write(folder, seed, day)
    _run(grade, folder, "with new files")
    _run(grade, folder, "a second time")
    _look(grade, path, make.truth(seed, 8), "eight days")
    make.write(folder, seed, 9, make.ODD)
    done = scripts.run(folder, "update.py")
    opened = stores.open_store(grade, path, what="after an odd file: store")
    if opened and done.returncode and opened.ds.sizes.get("time") == 32:
        stores.compare(grade, opened.ds, make.truth(seed, 8), what="after an odd file")
    elif opened:
        stores.compare(grade, opened.ds, make.truth(seed, 8, odd=9), what="after an odd file")
    return grade


def _run(grade: Grade, folder: Path, what: str) -> None:
    done = scripts.run(folder, "update.py")
    grade.check(f"update.py {what}", done.returncode == 0, scripts.last_line(done))


def _look(grade: Grade, path: Path, truth: object, what: str) -> None:
    opened = stores.open_store(grade, path, what=f"{what}: store")
    if opened:
        stores.compare(grade, opened.ds, truth, what=what)
        stores.check_virtual(grade, opened, ["wind"])

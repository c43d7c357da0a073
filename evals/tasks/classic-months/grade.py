from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from kit import scripts, stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    truth = make.truth(seed)
    opened = stores.open_store(grade, folder / "flow.icechunk")
    if opened:
        stores.compare(grade, opened.ds, truth)
        stores.check_virtual(grade, opened, ["discharge"])
    done = scripts.run(folder, "mean.py")
    grade.check("mean.py ends well", done.returncode == 0, scripts.last_line(done))
    line = re.search(r"^mean: (\S+)", done.stdout or "", re.MULTILINE)
    if grade.check("mean.py prints a line", line, done.stdout) and line:
        meant = float(truth.discharge.mean())
        near = np.isclose(float(line[1]), meant, rtol=1e-4)
        grade.check("mean", near, f"{line[1]} for {meant}", silent=True)
    return grade

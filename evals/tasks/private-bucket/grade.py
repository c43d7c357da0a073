from __future__ import annotations

import re
from pathlib import Path

import icechunk
import numpy as np
from kit import scripts, stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    truth = make.truth(seed)
    storage = icechunk.s3_storage(
        bucket="acme-virtual-stores", prefix="era5", region="us-west-2", from_env=True
    )
    opened = stores.open_store(grade, storage)
    if opened:
        stores.compare(grade, opened.ds, truth)
        stores.check_virtual(grade, opened, ["t2m"])
    done = scripts.run(folder, "read_mean.py")
    grade.check("read_mean.py ends well", done.returncode == 0, scripts.last_line(done))
    line = re.search(r"^mean: (\S+)", done.stdout or "", re.MULTILINE)
    if grade.check("read_mean.py prints a line", line, done.stdout) and line:
        meant = float(truth.t2m.mean())
        grade.check("mean", np.isclose(float(line[1]), meant, rtol=1e-4), line[1], silent=True)
    variables = scripts.settings(folder).get("environment", {})
    secrets = [variables[name] for name in variables if name.startswith("AWS_")]
    telling = [
        path.name
        for path in folder.rglob("*")
        if path.is_file()
        and not {".log", "bin"} & set(path.relative_to(folder).parts)
        and path.name != "env.sh"
        and any(secret in path.read_text(errors="ignore") for secret in secrets)
    ]
    grade.check("no key in a file", not telling, telling)
    return grade

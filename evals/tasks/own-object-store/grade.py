from __future__ import annotations

from pathlib import Path

import icechunk
from kit import scripts, stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    variables = scripts.settings(folder)["environment"]
    keys = icechunk.s3_credentials(
        access_key_id=variables["MINIO_ACCESS_KEY"],
        secret_access_key=variables["MINIO_SECRET_KEY"],
    )
    opened = stores.open_store(grade, folder / "soil.icechunk", s3=keys)
    if opened:
        saved = str(opened.repo.config.virtual_chunk_containers)
        address = variables["MINIO_ENDPOINT"].partition("://")[2]
        grade.check("endpoint saved", address in saved, saved)
        stores.compare(grade, opened.ds, make.truth(seed))
        stores.check_virtual(grade, opened, ["swvl"])
    secret = variables["MINIO_SECRET_KEY"].encode()
    files = (folder / "soil.icechunk").rglob("*")
    telling = [path.name for path in files if path.is_file() and secret in path.read_bytes()]
    grade.check("no key in the repository", not telling, telling)
    return grade

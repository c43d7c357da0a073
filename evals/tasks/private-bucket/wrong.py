"""All right, but the user's keys stand in the script that goes to colleagues."""

import os
import runpy
from pathlib import Path

FAILS = "no key in a file"
if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("reference.py")))
    script = Path("read_mean.py").read_text()
    keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    given = f"s3_credentials(access_key_id={keys[0]!r}, secret_access_key={keys[1]!r})"
    Path("read_mean.py").write_text(script.replace("s3_credentials(from_env=True)", given))

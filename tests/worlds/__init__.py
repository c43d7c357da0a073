"""The worlds that blocks run in: sample files, an S3 emulator, roles, the proxy between.

``WORLDS`` names them; ``tests/conftest.py`` builds them as fixtures.
"""

from __future__ import annotations

WORLDS = {
    "files": "sample files under data/",
    "s3-public": "the public bucket, no credentials anywhere",
    "s3-keys": "a user's access keys in the environment",
    "s3-ec2-role": "an EC2 instance role behind IMDSv2",
    "s3-ecs-role": "a task role behind the container credentials endpoint",
    "s3-lambda-role": "a role's session keys in the environment",
    "s3-wrong-key": "access keys with a wrong secret",
    "s3-no-credentials": "no credentials and no metadata endpoint",
}
"""Name of each world and what surrounds a block in it."""

"""A link where the files were: it reads, until somebody removes the link."""

from pathlib import Path

FAILS = "disk1 is not there"
if __name__ == "__main__":
    Path("disk1").symlink_to("disk2", target_is_directory=True)

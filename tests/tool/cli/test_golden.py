"""What users and their programs see: each ``--help``, and one result of each command as JSON.

``tests/golden/`` holds what was printed when somebody last looked at it; ``--update-examples``
(``nox -s update``) writes it anew, and the difference is for a reviewer to judge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import virtual_zarr
from kerchunk.hdf import SingleHdf5ToZarr
from making import Recipe
from vzarr.cli.main import COMMANDS

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare with a golden file, whose lines may be broken elsewhere; or write it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("update_examples"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # Pythons differ in where they break the lines of a usage.
        assert text.split() == path.read_text().split(), f"{path} says something else"

    return compare


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(
    command: str,
    check: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as ended:
        virtual_zarr.main([*command.split(), "--help"])
    assert ended.value.code == 0
    check(f"help/{command or 'virtual_zarr'}.txt", capsys.readouterr().out)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three files, Kerchunk's references to the first, and the working directory for all tests."""
    folder = tmp_path_factory.mktemp("golden")
    files = [Recipe(start=2 * n).write(folder / f"f{n}.nc") for n in range(3)]
    references = SingleHdf5ToZarr(str(files[0]), inline_threshold=0).translate()
    (folder / "references.json").write_text(json.dumps(references))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


RESULTS = {
    "inspect": "inspect f0.nc f1.nc",
    "build": "build f0.nc f1.nc --repo repo",
    "append": "append f2.nc --repo repo",
    "refresh": "refresh --repo repo",
    "verify": "verify --repo repo --all",
    "show": "show repo",
    "log": "log repo",
    "report": "report repo --out page.html --verify",
    "tag": "tag repo v1",
    "remove": "remove repo f2.nc",
    "rollback": "rollback repo --to v1",
    "expire": "expire repo --older-than 2024-01-01",
    "copy": "copy repo copied",
    "migrate": "migrate references.json --repo migrated",
    "demo": "demo --dir demo",
}
"""A call of each command; those on a repository come after the one that builds it."""


def test_results_as_json(
    archive: Path, check: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(RESULTS) == set(COMMANDS)
    for command, line in RESULTS.items():
        status = virtual_zarr.main([*line.split(), "--json", "--quiet"])
        printed = capsys.readouterr()
        assert (status, printed.err) == (0, ""), command
        check(f"results/{command}.json", same_every_time(printed.out, archive))


def same_every_time(text: str, folder: Path) -> str:
    """Without the folder's place, Icechunk's random names, and how long HDF5 made the files."""
    text = text.replace(str(folder), "/FOLDER")
    text = re.sub(r"uv run \S+/virtual_zarr.py", "uv run virtual_zarr.py", text)
    text = re.sub(r'"(\w*bytes\w*)": \d+', r'"\1": "BYTES"', text)
    text = re.sub(r'"written": "[^"]*"', '"written": "TIME"', text)
    return re.sub(r'"[0-9A-HJKMNP-TV-Z]{20}"', '"SNAPSHOT"', text)

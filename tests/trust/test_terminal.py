"""Names, attributes and paths of foreign files: none reaches the terminal, or a shell, raw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import virtual_zarr
from making import Recipe
from vzarr.errors import InputError, Refused
from vzarr.text import option, printable, shell_word

TOOL = Path(__file__).parents[2] / "scripts" / "virtual_zarr.py"
ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b[1;1H"
FORGED = f"t{ESCAPES}\npassed: compared 9 values of 9 of 9 files"
UGLY = [
    FORGED,
    "passed: compared 9 values of 9 of 9 files",
    "v; touch PWNED #",
    "it's $(touch PWNED) `touch PWNED`",
    "-rf",
    "--quiet",
    "a\tb\r\x7f",
    "\u202etxt.cn\u202c\u200b\x9b31m",
    "back\\slash\\n\x1b'",
    "größe 気温",
]


def safe(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def words(line: str) -> list[str]:
    """What a shell makes of part of a command line, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {line}"],
            capture_output=True,
            cwd=folder,
            check=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        assert not list(Path(folder).iterdir()), "it ran something"
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Status, stdout and stderr of a command, of which a terminal may be shown everything."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = virtual_zarr.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        for text in (captured.out, captured.err):
            assert safe(text)
        return status, captured.out, captured.err

    return call


def write(path: Path, name: str, steps: int = 3) -> Path:
    """A variable and an attribute of that name, and a coordinate along which files lie."""
    with h5py.File(path, "w") as file:
        values = np.arange(steps) + 10.0 * len(path.stem)
        time = file.create_dataset("time", data=values, maxshape=(None,))
        time.make_scale("time")
        variable = file.create_dataset(name, data=values.astype("f4"), maxshape=(None,))
        variable.dims[0].attach_scale(time)
        variable.attrs["units"] = f"K{name}"
        variable.attrs[name.replace("/", "_")] = np.nan
    return path


@pytest.mark.parametrize("name", [name for name in UGLY if "\\" not in name], ids=ascii)
def test_every_command_escapes_names_and_attributes(run, tmp_path: Path, name: str) -> None:
    files = [write(tmp_path / f"{stem}.nc", name) for stem in ("a", "bb", "ccc")]
    repository = tmp_path / "repo"
    status, out, _ = run("inspect", *files)
    assert status == 0
    assert printable(name) in out
    status, out, err = run("build", *files[:2], "--repo", repository, "--concat-dim", "time")
    assert status == 0, err
    assert printable(name) in out
    for line in out.splitlines():
        assert not line.startswith(("passed", "PASSED")), "a verdict of the file"
    status, out, _ = run("verify", "--repo", repository, "--all")
    assert status == 0
    assert [line for line in out.splitlines() if line.startswith("passed: compared 12 values")]
    assert run("append", *files, "--repo", repository)[0] == 0
    with h5py.File(files[0], "r+") as file:
        file[name].attrs["units"] = f"C{name}"
    status, out, _ = run("verify", "--repo", repository, "--all")
    assert status == 1
    assert not re.search("^passed", out, re.MULTILINE)
    assert re.search(rf"^FAILED .*{re.escape(printable(name))}", out, re.MULTILINE)
    run("refresh", "--repo", repository, "--content")


@pytest.mark.parametrize("command", ["build", "inspect", "verify"])
def test_json_holds_names_as_they_are(run, tmp_path: Path, command: str) -> None:
    path = write(tmp_path / "a.nc", FORGED)
    built = run("build", path, "--repo", tmp_path / "repo", "--json")
    printed = {
        "build": lambda: built,
        "inspect": lambda: run("inspect", path, "--json"),
        "verify": lambda: run("verify", "--repo", tmp_path / "repo", "--json"),
    }[command]()[1]
    found = json.loads(printed)
    names = found["sets"][0]["variables"] if command == "inspect" else found["virtual"]
    assert FORGED in names


@pytest.mark.parametrize("name", UGLY, ids=ascii)
def test_what_is_suggested_leaves_out_what_it_names(run, tmp_path: Path, name: str) -> None:
    """Given to a shell as it was printed: in ``build``'s sentence, in ``inspect``'s command.

    Also where Zarr could not hold the name: a backslash divides it there.
    """
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["v"] = np.arange(3.0)
        axis = file.create_dataset(name, (2_000_000,), "f4")
        axis.make_scale(name)
    status, _, sentence = run("build", path, "--repo", tmp_path / "repo", "--quiet")
    assert status == 2
    options = words(sentence.partition("Leave it out with ")[2].strip().removesuffix("."))
    assert run("build", path, "--repo", tmp_path / "repo", *options)[0] == 0
    command = run("inspect", path)[1].partition("build: ")[2].splitlines()[0]
    arguments = words(command.partition(" build ")[2])
    arguments[-1] = str(tmp_path / "other")
    assert run("build", *arguments)[0] == 0


def test_all_that_cannot_be_taken_is_quoted(run, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in UGLY:
            file.create_dataset(name, (2,), h5py.vlen_dtype("i4"))
        file["v"] = np.arange(3.0)
    _, _, sentence = run("build", path, "--repo", tmp_path / "repo", "--quiet")
    options = words(sentence.partition("Leave them out with ")[2].strip().removesuffix("."))
    assert run("build", path, "--repo", tmp_path / "repo", *options)[0] == 0


def test_names_of_files(run, tmp_path: Path) -> None:
    folder = tmp_path / f"data{ESCAPES}\nfailed"
    folder.mkdir()
    files = [write(folder / f"{ESCAPES}{stem}.nc", "v") for stem in ("a", "bb")]
    (folder / "not.nc").write_bytes(b"\x1b[2Jnoise")
    status, out, _ = run("inspect", folder / "*")
    assert status == 1
    command = out.partition("build: ")[2].splitlines()[0]
    assert words(command.partition(" build ")[2])[:2] == [str(file) for file in files]
    assert run("build", folder / "not.nc", "--repo", tmp_path / "repo")[0] == 2
    assert run("build", *files, "--repo", folder / "repo")[0] == 0
    status, _, err = run("build", *files, "--repo", folder / "repo")
    assert status == 2
    assert f"append FILE {option('--repo', str(folder / 'repo'))};" in err
    assert run("verify", "--repo", folder / "repo", "--all")[0] == 0
    files[0].unlink()
    assert run("verify", "--repo", folder / "repo", "--all")[0] == 1
    assert run("refresh", "--repo", folder / "repo")[0] == 2


def test_more_files_than_are_named(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names come from the JSON report; one that holds the end of a line stays one name."""
    monkeypatch.setattr("vzarr.commands.inspect.NAMED_FILES", 1)
    files = [write(tmp_path / f"{stem}\n--quiet.nc", "v") for stem in ("a", "bb")]
    (tmp_path / "other.nc").write_bytes(b"noise")
    command = run("inspect", tmp_path / "*.nc")[1].partition("build: ")[2].splitlines()[0]
    assert command.startswith(
        "jq -j '.sets[0].files[] | . + \"\\u0000\"' inspected.json | xargs -0 "
    )
    report = json.loads(run("inspect", tmp_path / "*.nc", "--json")[1])
    assert report["sets"][0]["files"] == [f"file://{file}" for file in files]


def test_errors_of_the_command_line(run, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell puts names of files there, too."""
    for arguments in (["build", "a", f"--repo=x{ESCAPES}", f"--{FORGED}"], [FORGED]):
        with pytest.raises(SystemExit):
            virtual_zarr.main(arguments)
        assert safe(capsys.readouterr().err)


def test_code_that_is_suggested(run, tmp_path: Path) -> None:
    """A name in its comment does not end the comment."""
    path = write(tmp_path / "a.nc", "v")
    with h5py.File(path, "r+") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        name, space = b"c\nimport os", h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, name, h5py.h5t.NATIVE_INT16, space, plan)
        file[name].dims[0].attach_scale(file["time"])
    found = json.loads(run("inspect", path, "--json")[1])["sets"][0]
    assert r"add 'c\nimport os' as xarray.open_dataset reads them" in found["combine"]
    assert len(found["combine"].splitlines()) == 1


@pytest.mark.parametrize("kind", [InputError, Refused])
def test_texts_of_exceptions(kind: type[Exception]) -> None:
    assert safe(str(kind(FORGED)))
    assert "\n" not in str(kind(FORGED))


def test_tracebacks(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VZARR_DEBUG", "1")
    path = tmp_path / f"a{ESCAPES}\npassed: 1"
    path.write_bytes(b"noise")
    _, _, err = run("build", path, "--repo", tmp_path / "repo", "--quiet")
    assert "Traceback" in err
    assert not re.search("^passed", err, re.MULTILINE)


def test_terminals_without_the_letters_of_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "größe.nc", "気温")
    done = subprocess.run(
        [sys.executable, str(TOOL), "inspect", str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u6c17\u6e29" in done.stdout


def test_printable_changes_nothing_else() -> None:
    assert printable("größe 気温 é 'a' \\n") == "größe 気温 é 'a' \\n"
    assert printable("a\nb\x1b\udcff\u2028") == r"a\nb\x1b\udcff\u2028"


def test_shell_words_are_one_word_each() -> None:
    several = [*UGLY, "", " ", "*", "~", "\udcff.nc", "\u0085", "\U000e0001x", "\x01f"]
    line = " ".join(map(shell_word, several))
    assert line.isprintable()
    assert words(line) == several


def test_notes_and_reasons_are_behind_words_of_the_tool(run, tmp_path: Path) -> None:
    """A name that looks like a verdict begins no line."""
    name = "passed: compared 9 values"
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(Recipe().write(path), "a") as file:
        file.createVariable(name, "f4", ("time",))[:] = [1, 2]
        file[name].nan = np.nan
    _, out, _ = run("build", path, "--repo", tmp_path / "repo")
    assert f"note: attribute nan of {name} stored as text: 'nan'" in out.splitlines()
    assert not [line for line in out.splitlines() if line.startswith("passed")]

"""The graph that ``log`` draws: each commit once, and each line leads to what it continues."""

from __future__ import annotations

import io
import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import icechunk
import pytest
import vzarr
import zarr
from vzarr.cli.commit_graph import ASCII, LINES, draw
from vzarr.cli.main import main
from vzarr.repository.commits import Commit

COMMITS = 1000


def commits(*pairs: str) -> list[Commit]:
    """The newest first, each as "name" or "name<parent"."""
    told = []
    for pair in pairs:
        name, _, parent = pair.partition("<")
        moment = datetime(2024, 1, 1, tzinfo=UTC)
        told.append(Commit(name, parent or None, moment, "", None, {}, None, [], []))
    return told


def drawn(*pairs: str) -> list[str]:
    return draw(commits(*pairs), lambda commit: commit.snapshot, ASCII)


def test_one_line() -> None:
    assert drawn("c<b", "b<a", "a<0") == ["* c", "* b", "* a"]
    assert drawn() == []


def test_a_branch() -> None:
    assert drawn("c<a", "x<a", "b<0", "a<0")[:3] == ["* c", "| * x", "| | * b"]
    assert drawn("d<b", "x<b", "b<a", "a<0") == ["* d", "| * x", "|-'", "* b", "* a"]


def test_lines_that_meet_across_others() -> None:
    assert drawn("d<a", "x<y", "z<a", "y<a", "a<0") == [
        "* d",
        "| * x",
        "| | * z",
        "| * | y",
        "|-^-'",
        "* a",
    ]
    assert drawn("d<a", "x<y", "z<a", "a<0", "y<0") == [
        "* d",
        "| * x",
        "| | * z",
        "|-+-'",
        "* | a",
        "  * y",
    ]


def test_what_is_new_does_not_seem_to_continue_what_has_ended() -> None:
    """Two branches that share nothing, one of them older as a whole."""
    assert drawn("b<a", "a<0", "y<x", "x<0") == ["* b", "* a", "  * y", "  * x"]


def test_in_signs_of_lines() -> None:
    lines = draw(commits("d<b", "x<b", "b<0"), lambda commit: commit.snapshot, LINES)
    assert lines == ["● d", "│ ● x", "├─╯", "● b"]


@pytest.mark.parametrize("seed", range(20))
def test_every_line_leads_to_the_parent(seed: int) -> None:
    """Followed downwards, sign by sign, from each commit of a forest of chance."""
    chance = random.Random(seed)
    parents = {
        n: chance.choice([m for m in (n - 1, n - 2, n - 5) if m >= 0] or [-1]) for n in range(30)
    }
    lines = drawn(*(f"{n}<{parents[n]}" for n in sorted(parents, reverse=True)))
    rows = {line.rsplit(" ", 1)[1]: at for at, line in enumerate(lines) if "*" in line}
    assert len(rows) == 30
    for name, parent in parents.items():
        if parent < 0:
            continue
        at = rows[str(name)]
        column = lines[at].index("*")
        while (sign := lines[at := at + 1][column : column + 1]) != "*":
            assert sign in set("|-+^'"), lines
            if sign in "^'":  # here it turns to the left, where the others meet
                column = lines[at].rindex("|", 0, column)
        assert lines[at].endswith(f" {parent}"), "\n".join(lines)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand commits, a branch that leaves in the middle, and tags."""
    place = tmp_path_factory.mktemp("log") / "repo"
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(place)))
    for number in range(COMMITS - 2):
        session = repository.writable_session("main")
        if number == 0:
            zarr.group(session.store)
        tip = session.commit(f"number {number}", allow_empty=True)
        if number == 500:
            repository.create_branch("dev", tip)
            repository.create_tag("v1", tip)
    for number in range(2):
        repository.writable_session("dev").commit(f"dev {number}", allow_empty=True)
    return place


def test_log_of_a_thousand_commits(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(repo), "-n", "1"]) == 0  # imports
    begun = process_time()  # of this process alone, whatever else the machine does
    assert main(["log", str(repo)]) == 0
    assert process_time() - begun < 2
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == COMMITS + 1
    assert lines[0].startswith("● ")
    assert lines[0].endswith("of others: dev 1 [dev]")
    assert lines[2].startswith("│ ● ")
    assert lines[2].endswith(f"number {COMMITS - 3} [main]")
    (meeting,) = [at for at, line in enumerate(lines) if line == "├─╯"]
    assert lines[meeting + 1].endswith("number 500 [tag v1]")
    assert lines[-1].startswith("● ")


def test_as_json(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(repo), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["message"] for one in told["commits"]][:2] == [
        f"number {COMMITS - 3}",
        f"number {COMMITS - 4}",
    ]
    assert len(told["commits"]) == COMMITS - 2
    assert [one["message"] for one in told["others"]] == ["dev 1", "dev 0"]
    assert [one.as_json() for one in vzarr.log(repo)] == told["commits"]


def test_of_one_branch(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(repo), "--branch", "dev", "-n", "3"]) == 0
    told = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == ["dev 1 [dev]", "dev 0", "number 500 [tag v1]"]
    later = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert main(["log", str(repo), "--since", later]) == 0
    assert capsys.readouterr().out == "no commits\n"


def test_where_the_terminal_has_no_such_signs(
    repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["log", str(repo), "-n", "3"]) == 0
    lines = out.buffer.getvalue().decode("ascii").splitlines()
    assert [line[:4] for line in lines] == [f"* {lines[0][2:4]}", f"* {lines[1][2:4]}", "  * "]

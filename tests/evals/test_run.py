"""``evals/run.py``: workspaces, the log of commands, grades, the first try, tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run as evals_run
from harness import solutions
from kit import emulators, measures, tables, tasks, workspace

ROOT = Path(__file__).parents[2]
EVALS = ROOT / "evals"
TASK = "moved-disk"


def solution(name: str, which: str = "reference") -> Path:
    return tasks.find(name).folder / f"{which}.py"


@pytest.fixture(autouse=True)
def path_of_the_solutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "scripts"), str(EVALS)]))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return workspace.prepare(tasks.find(TASK), "none", tmp_path / "w")


def in_bash(folder: Path, line: str) -> subprocess.CompletedProcess:
    line = f"source env.sh && {line}"
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)


def test_prepare_run_and_grade_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    agent = f'python {solution(TASK)} && echo \'{{"usage": {{"output_tokens": 7}}}}\''
    words = ["run", TASK, "--agent", agent, "--arm", "none", "--arm", "skill", "--runs", "1"]
    words += ["--into", str(tmp_path / "runs"), "--results", str(results)]
    assert evals_run.main(words) == 0
    capsys.readouterr()
    records = json.loads(results.read_text())
    assert [record["arm"] for record in records] == ["none", "skill"]
    for record in records:
        assert record["grade"]["passed"], record["grade"]
        assert (record["commands"], record["failed"], record["output_tokens"]) == (1, 0, 7)
    assert evals_run.main(["table", str(results)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].startswith(f"| {TASK} | none | free | 1 of 1 | 0 | 1 | 0 |")
    assert rows[-1].startswith("| all | skill | free | 1 of 1 |")


def test_first_try_runs_what_was_left_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for which, status in (("reference", 0), ("wrong", 1)):
        folder = workspace.prepare(tasks.find(TASK), "none", tmp_path / which, first_try=True)
        assert "solution.py" in (folder / "prompt.md").read_text()
        (folder / "solution.py").write_text(solution(TASK, which).read_text())
        assert evals_run.main(["first-try", str(folder)]) == status
        record = json.loads((folder / "grade.json").read_text())
        assert record["protocol"] == "first try"
        assert record["status"] == 0
        assert record["lines"] > 2
        assert record["commands"] == 0
    capsys.readouterr()


def test_a_first_try_that_fails_is_told(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "solution.py").write_text("import icechunk\nicechunk.StorageConfig\n")
    assert evals_run.main(["first-try", str(empty)]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["first_try_wrong_guess"]
    assert not record["grade"]["silent_fault"]


def test_calls_are_logged_with_what_became_of_them(empty: Path) -> None:
    (empty / "job.py").write_text("# a comment\n\nimport sys\nsys.exit(3)\n")
    done = in_bash(empty, "python job.py")
    assert done.returncode == 3
    in_bash(empty, "python3 -c 'print(1)'")
    in_bash(empty, "printf 'import zarr\\nzarr.nothing\\n' | python -")
    assert "AttributeError" in in_bash(empty, "python -c 'import zarr; zarr.nothing'").stderr
    assert in_bash(empty, "uv pip install zarr").returncode == 0
    ran = in_bash(empty, "uv run --with zarr --no-project python -c 'print(40 + 2)'")
    assert ran.stdout == "42\n"
    log = (empty / ".log" / "commands.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in log] == [3, 0, 1, 1, 0, 0]
    counted = measures.commands(empty)
    assert counted.pop("command_seconds") >= 0
    assert counted == {"commands": 6, "failed": 3, "wrong_guesses": 2, "inline_lines": 5}
    assert measures.lines_written(empty) == 2


def test_lines_of_files_that_were_there_count_once_they_are_changed(tmp_path: Path) -> None:
    folder = workspace.prepare(tasks.find("old-script"), "none", tmp_path / "w")
    assert measures.lines_written(folder) == 0
    script = folder / "make_store.py"
    script.write_text("print(1)\n" + script.read_text())
    assert measures.lines_written(folder) > 10


@pytest.mark.parametrize(
    ("stderr", "wrong"),
    [
        ("Traceback\n  File x\nTypeError: f() got an unexpected keyword argument", True),
        ("Traceback\nzarr.errors.ArrayNotFoundError: no", False),
        ("ModuleNotFoundError: No module named 'kerchunk'\n", True),
        ("ValueError: TypeError", False),
        ("", False),
    ],
)
def test_wrong_guesses_are_told_by_the_last_line(stderr: str, wrong: bool) -> None:
    assert measures.is_wrong_guess(stderr) == wrong


def test_workspaces_tell_nothing_of_this_checkout_but_in_programs(tmp_path: Path) -> None:
    for arm in workspace.ARMS:
        folder = workspace.prepare(tasks.find(TASK), arm, tmp_path / arm)
        for path in folder.rglob("*"):
            inside = path.relative_to(folder).parts
            if path.is_file() and inside[0] != "bin":
                assert str(ROOT).encode() not in path.read_bytes(), path
        assert not list(folder.rglob("grade.py"))
        assert not list(folder.rglob("reference.py"))


def test_arms(tmp_path: Path) -> None:
    skill = tmp_path / "other-skill"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nname: other-skill\n---\n")
    folders = {
        arm: workspace.prepare(tasks.find(TASK), arm, tmp_path / "arms" / Path(arm).name)
        for arm in (*workspace.ARMS, str(skill))
    }
    assert not (folders["none"] / "AGENTS.md").exists()
    mine = Path(".agents/skills/virtual-zarr")
    assert (folders["skill"] / mine / "scripts" / "virtual_zarr.py").exists()
    assert (folders["skill"] / ".claude/skills/virtual-zarr/SKILL.md").exists()
    assert not (folders["skill-without-tool"] / mine / "scripts").exists()
    assert "virtual_zarr.py" not in (folders["skill-without-tool"] / "AGENTS.md").read_text()
    assert "virtual_zarr.py" in (folders["skill"] / "AGENTS.md").read_text()
    assert "other-skill/SKILL.md" in (folders[str(skill)] / "AGENTS.md").read_text()


def test_what_cannot_be_done_is_said_in_a_sentence(
    empty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        (["prepare", "no-task", "--into", str(tmp_path / "x")], "no task no-task"),
        (["prepare", TASK, "--into", str(empty)], "is not empty"),
        (["prepare", TASK, "--arm", "nowhere", "--into", str(tmp_path / "y")], "no SKILL.md"),
        (["grade", str(tmp_path)], "is no workspace"),
    ):
        assert evals_run.main(words) == 2
        assert told in capsys.readouterr().err


def test_an_emulator_outlives_prepare_and_ends_with_the_grade(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace.prepare(tasks.find("far-archive"), "none", tmp_path / "w")
    process = json.loads((folder / ".log" / "emulator.json").read_text())["pid"]
    os.kill(process, 0)
    code = "import os, urllib.request as u; u.urlopen(os.environ['ARCHIVE_ENDPOINT'] + '/profiles')"
    assert in_bash(folder, f'python -c "{code}"').returncode == 0
    assert len(emulators.requests(folder / ".log")) == 1
    assert evals_run.main(["grade", str(folder)]) == 1
    capsys.readouterr()
    assert _is_gone(process)


def _is_gone(process: int, patience: float = 20.0) -> bool:
    """Whether it ends; as a child of these tests it stays a zombie until somebody waits."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        ended, _ = os.waitpid(process, os.WNOHANG)
        if ended:
            return True
        time.sleep(0.05)
    return False


def test_an_agent_that_does_not_end_is_stopped(empty: Path) -> None:
    told = evals_run.run_agent("echo {prompt} > said.txt; sleep 60", empty, patience=0.5)
    assert told["agent_status"] == 124
    assert (empty / "said.txt").read_text().strip() == (empty / "prompt.md").read_text().strip()


@pytest.mark.parametrize(
    ("output", "counted"),
    [
        (
            '{"type": "result", "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, '
            '"cache_creation_input_tokens": 20, "output_tokens": 9}}',
            (125, 9),
        ),
        (
            '{"type": "thread.started"}\n{"type": "turn.completed", "usage": {"input_tokens": 50, '
            '"cached_input_tokens": 40, "output_tokens": 3}}\n',
            (50, 3),
        ),
        (
            '{"response": "done", "stats": {"models": {"a": {"tokens": {"prompt": 8, '
            '"candidates": 2}}, "b": {"tokens": {"prompt": 1, "candidates": 1}}}}}',
            (9, 3),
        ),
    ],
    ids=["claude", "codex", "gemini"],
)
def test_tokens_that_agents_report(output: str, counted: tuple[int, int]) -> None:
    told = measures.tokens(output)
    assert (told["input_tokens"], told["output_tokens"]) == counted
    assert measures.tokens("no JSON") == {}


def test_a_table_has_medians_and_sums() -> None:
    def record(lines: int, passed: bool) -> dict:
        grade = {"passed": passed, "silent_fault": not passed}
        return {"task": "a", "arm": "none", "lines": lines, "commands": 2, "grade": grade}

    rows = tables.table([record(10, True), record(20, False)]).splitlines()
    assert rows[2] == "| a | none | free | 1 of 2 | 1 | 2 | - | - | 15 | - | - | - |"
    assert len(rows) == 4


def test_a_comparison_shows_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, passed in (("old", False), ("new", True)):
        grade = {"passed": passed, "silent_fault": False}
        record = {"task": "a", "arm": "skill", "lines": 3, "commands": 4, "grade": grade}
        (tmp_path / f"{name}.json").write_text(json.dumps([record]))
    assert evals_run.main(["compare", *(str(tmp_path / f"{n}.json") for n in ("old", "new"))]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[2] == "| a | skill | free | 0 of 1 → 1 of 1 | 0 | 4 | 3 | - |"


def test_help_runs_without_the_libraries() -> None:
    done = subprocess.run(
        [sys.executable, str(EVALS / "run.py"), "list"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(tasks.names())
    assert solutions.EVALS == EVALS

"""Measure whether a skill helps: prepare workspaces, run agents in them, grade what they leave.

See README.md beside this file. Needs the packages of the project, no others.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from kit import emulators, measures, scripts, tables, tasks, workspace

GRADER = Path(__file__).parent / "kit" / "grader.py"
GRADER_PATIENCE = 300.0
STDERR_TAIL = 2000


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, or 1 where a grade was asked for and the task was not passed."""
    options = _parser().parse_args(arguments)
    try:
        return options.do(options)
    except (LookupError, FileExistsError, FileNotFoundError, RuntimeError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2


def _prepare(options: argparse.Namespace) -> int:
    folder = workspace.prepare(
        tasks.find(options.task),
        options.arm,
        options.into,
        options.seed,
        python=options.python,
        first_try=options.first_try,
    )
    print(folder)
    return 0


def _grade(options: argparse.Namespace) -> int:
    record = grade(options.folder.absolute())
    print(json.dumps(record, indent=1))
    return 0 if record["grade"]["passed"] else 1


def grade(folder: Path, **more: Any) -> dict[str, Any]:
    """Grade a workspace in a fresh process, stop its emulator, write ``grade.json``."""
    settings = scripts.settings(folder)
    if not settings:
        raise FileNotFoundError(f"{folder} is no workspace: run.py prepare writes one")
    record = {key: settings[key] for key in ("task", "arm", "seed", "protocol")}
    record |= measures.commands(folder) | {"lines": measures.lines_written(folder)}
    previous = folder / ".log" / "run.json"
    if previous.exists():
        record |= json.loads(previous.read_text())
    record |= more
    words = [scripts.python(folder), str(GRADER), settings["task"], str(folder)]
    words.append(str(settings["seed"]))
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=GRADER_PATIENCE,
            env=scripts.environment(folder),
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the grader of {settings['task']} did not end") from None
    if done.returncode:
        told = f"with status {done.returncode}: {done.stderr[-STDERR_TAIL:]}"
        raise RuntimeError(f"the grader of {settings['task']} failed {told}")
    record["grade"] = json.loads(done.stdout.splitlines()[-1])
    emulators.stop_detached(folder / ".log")
    (folder / "grade.json").write_text(json.dumps(record, indent=1))
    return record


def _first_try(options: argparse.Namespace) -> int:
    folder = options.folder.absolute()
    begun = time.monotonic()
    done = scripts.run(folder, options.script)
    told = {
        "protocol": "first try",
        "status": done.returncode,
        "stderr": (done.stderr or "")[-STDERR_TAIL:],
        "first_try_seconds": round(time.monotonic() - begun, 1),
        "first_try_wrong_guess": bool(done.returncode and measures.is_wrong_guess(done.stderr)),
    }
    record = grade(folder, **told)
    print(json.dumps(record, indent=1))
    return 0 if record["grade"]["passed"] else 1


def _run(options: argparse.Namespace) -> int:
    """Prepare, start the agent, grade; for each task, arm and run."""
    names = tasks.names() if options.task == "all" else [options.task]
    results = json.loads(options.results.read_text()) if options.results.exists() else []
    for name in names:
        for arm in options.arm or ["none", "skill"]:
            for number in range(options.runs):
                stem = f"{name}-{Path(arm).name}-{number + 1}"
                record = _run_one(options, name, arm, options.into / stem, options.seed + number)
                results.append(record)
                temporary = options.results.with_suffix(".part")
                temporary.write_text(json.dumps(results, indent=1))
                temporary.replace(options.results)
                print(f"{stem}: {record['grade']['outcome']}", flush=True)
    return 0


def _run_one(
    options: argparse.Namespace, name: str, arm: str, folder: Path, seed: int
) -> dict[str, Any]:
    folder = workspace.prepare(
        tasks.find(name), arm, folder, seed, python=options.python, first_try=options.first_try
    )
    told = run_agent(options.agent, folder, options.minutes * 60)
    (folder / ".log" / "run.json").write_text(json.dumps(told))
    if options.first_try:
        done = scripts.run(folder, "solution.py")
        told["status"] = done.returncode
    return grade(folder, **told)


def run_agent(command: str, folder: Path, patience: float) -> dict[str, Any]:
    """Start an agent's command in a workspace, and wait; what it took, as far as it says."""
    prompt = (folder / "prompt.md").read_text(encoding="utf-8")
    line = command.replace("{prompt}", shlex.quote(prompt)).replace(
        "{workspace}", shlex.quote(str(folder))
    )
    variables = {
        name: value
        for name, value in scripts.settings(folder)["environment"].items()
        if "PROXY" not in name and "_CERT" not in name and "CA_BUNDLE" not in name
    }
    path = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    begun = time.monotonic()
    output = folder / ".log" / "agent.txt"
    with output.open("w") as out, (folder / ".log" / "agent-errors.txt").open("w") as errors:
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env={**os.environ, **variables, "PATH": path},
            start_new_session=True,
        )
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = 124
            process.wait()
    told: dict[str, Any] = {"agent_status": status, "seconds": round(time.monotonic() - begun, 1)}
    return told | measures.tokens(output.read_text(errors="replace"))


def _table(options: argparse.Namespace) -> int:
    print(tables.table(read_results(options.results)), end="")
    return 0


def _compare(options: argparse.Namespace) -> int:
    old, new = (read_results([path]) for path in (options.old, options.new))
    print(tables.comparison(old, new), end="")
    return 0


def read_results(paths: list[Path]) -> list[dict[str, Any]]:
    """Records of files that hold one (``grade.json``) or a list of them."""
    records: list[dict[str, Any]] = []
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        records += content if isinstance(content, list) else [content]
    return records


def _write_specification(options: argparse.Namespace) -> int:
    from kit import specification

    specification.PATH.write_text(specification.text(), encoding="utf-8")
    if options.files:
        specification.write_files(options.files, options.seed)
    return 0


def _list(options: argparse.Namespace) -> int:
    for name in tasks.names():
        print(f"{name:18} {tasks.find(name).kind}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(do=do)
        return added

    def preparing(added: argparse.ArgumentParser) -> None:
        added.add_argument("--seed", type=int, default=1, help="of the inputs")
        added.add_argument(
            "--python", default=sys.executable, help="the interpreter that programs get"
        )
        added.add_argument(
            "--first-try", action="store_true", help="ask for solution.py, nothing may be run"
        )

    command("list", _list, "names and kinds of the tasks")
    added = command("prepare", _prepare, "write a workspace")
    added.add_argument("task")
    added.add_argument(
        "--arm", default="none", help="none, skill, skill-without-tool, or a skill's folder"
    )
    added.add_argument("--into", type=Path, required=True, help="a new folder")
    preparing(added)
    added = command("grade", _grade, "grade a workspace, print and write grade.json")
    added.add_argument("folder", type=Path)
    added = command("first-try", _first_try, "run the script that was left once, then grade")
    added.add_argument("folder", type=Path)
    added.add_argument("--script", default="solution.py", help="default: solution.py")
    added = command("run", _run, "prepare, start an agent, grade")
    added.add_argument("task", help="a task, or all")
    added.add_argument("--agent", required=True, help="its command; {prompt} and {workspace}")
    added.add_argument("--arm", action="append", help="may be given several times")
    added.add_argument("--runs", type=int, default=2, help="of each task and arm; default: 2")
    added.add_argument("--into", type=Path, required=True, help="folder of the workspaces")
    added.add_argument("--results", type=Path, default=Path("results.json"))
    added.add_argument("--minutes", type=float, default=30.0, help="an agent has; default: 30")
    preparing(added)
    added = command("evals-json", _write_specification, "write evals.json anew")
    added.add_argument("--files", type=Path, help="write the inputs, too, into this folder")
    added.add_argument("--seed", type=int, default=1, help="of the inputs")
    added = command("table", _table, "results as a table in Markdown")
    added.add_argument("results", type=Path, nargs="+")
    added = command("compare", _compare, "two sets of results, task by task")
    added.add_argument("old", type=Path)
    added.add_argument("new", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())

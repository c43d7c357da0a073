"""Run a chain of blocks as a reader would, and compare with what the Markdown says."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_examples import EvalExample

from harness import deprecations, reader_environment, traps, warm_start
from harness.blocks import Block, Chain, output_lines
from harness.reruns import VARIABLE, Killed

SCRIPT_TIMEOUT = 180
SITE_FOLDER = Path(__file__).with_name("site")


def run_chain(
    chain: Chain,
    eval_example: EvalExample,
    inject: Callable[[str | None], None] = lambda fault: None,
    prints: bool = True,
) -> dict[str, Any]:
    """Run each block with the names that the blocks before it left; returns the last one's.

    ``inject`` sets the fault that a block names, and takes it away for one that names none.
    ``prints``: compare what is printed; a second run may say something else.

    Fails when a block fails, prints something else than its ``#>`` comments, does not raise though
    it should, raises another error than the one quoted below it, or uses what is deprecated.
    """
    names: dict[str, Any] = {}
    main_module = sys.modules["__main__"]
    try:
        with saved_modules(chain):
            for block in chain.blocks:
                inject(block.fault)
                with traps.watched(block):
                    names = _run_block(block, eval_example, names, prints)
    finally:
        sys.modules["__main__"] = main_module
    return names


@contextmanager
def saved_modules(chain: Chain) -> Iterator[None]:
    """Save the modules that a chain imports beside its blocks, as a reader would."""
    names = [file.removesuffix(".py") for file in chain.modules]
    # A test may have imported another module of the same name.
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    for file, source in chain.modules.items():
        Path(file).write_text(source)
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _run_block(
    block: Block, eval_example: EvalExample, names: dict[str, Any], prints: bool
) -> dict[str, Any]:
    """The names after it."""
    if block.script:
        _run_script(block, prints)
        return names
    with deprecations.collected() as warned:
        if block.raises:
            names = _run_raising(block, eval_example, names)
        elif not prints:
            names = eval_example.run(block.example, module_globals=names)
        elif eval_example.update_examples:
            names = eval_example.run_print_update(block.example, module_globals=names)
        else:
            names = eval_example.run_print_check(block.example, module_globals=names)
    check_deprecations(block, warned)
    return names


def _run_raising(block: Block, eval_example: EvalExample, names: dict[str, Any]) -> dict[str, Any]:
    try:
        eval_example.run(block.example, module_globals=names)
    except Exception as error:
        check_quoted_error(block, "".join(traceback.format_exception_only(error)))
        # pytest-examples leaves the module it ran here; what was set before the error goes on.
        module = vars(sys.modules["__main__"])
        return {name: value for name, value in module.items() if not name.startswith("__")}
    pytest.fail(f"{block.fence.where}: did not raise {block.quoted_error!r}", pytrace=False)


def _run_script(block: Block, prints: bool) -> None:
    script = Path(block.file)
    script.write_text(block.example.source)
    environment = {**os.environ, "PYTHONPATH": str(SITE_FOLDER)}
    python = str(reader_environment.python()) if block.readers else sys.executable
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A session of its own, so that worker processes a hanging block leaves behind end with it.
    if VARIABLE in os.environ and not block.readers:
        process = warm_start.Process(program=script, before=os.setsid, env=environment, **pipes)
    else:
        command = [python, "-W", "ignore", script.name]
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    try:
        stdout, stderr = process.communicate(timeout=SCRIPT_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        pytest.fail(
            f"{block.fence.where}: no end within {SCRIPT_TIMEOUT} s\n{stderr}", pytrace=False
        )
    if process.returncode == -signal.SIGKILL and VARIABLE in os.environ:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise Killed(block.fence.where)
    if block.raises:
        if process.returncode == 0:
            pytest.fail(f"{block.fence.where}: did not raise {block.quoted_error!r}", pytrace=False)
        check_quoted_error(block, _last_error(stderr))
    elif process.returncode != 0:
        pytest.fail(f"{block.fence.where}: exit {process.returncode}\n{stderr}", pytrace=False)
    expected = output_lines(block.example.source)
    if prints and stdout.splitlines() != expected:
        pytest.fail(
            f"{block.fence.where}: printed {stdout.splitlines()}, Markdown says {expected}",
            pytrace=False,
        )


def _last_error(stderr: str) -> str:
    """The message below the last traceback."""
    after = stderr.rpartition("Traceback (most recent call last):\n")[2].splitlines()
    message = next((n for n, line in enumerate(after) if not line.startswith(" ")), 0)
    return "\n".join(after[message:])


def check_quoted_error(block: Block, raised: str) -> None:
    """Compare an error with its quotation, in which ``…`` stands for anything."""
    raised = raised.strip()
    if not _is_quoted(block, raised):
        pytest.fail(
            f"{block.fence.where}: raised\n{raised}\nbut the Markdown quotes\n{block.quoted_error}",
            pytrace=False,
        )


def check_deprecations(block: Block, warned: list[str]) -> None:
    """A block meets no deprecation but the one it is about (tag ``warns``), and meets that."""
    if block.warns and not any(_is_quoted(block, warning) for warning in warned):
        pytest.fail(
            f"{block.fence.where}: warned {warned}, the Markdown quotes {block.quoted_error!r}",
            pytrace=False,
        )
    other = [text for text in warned if not (block.warns and _is_quoted(block, text))]
    if other:
        pytest.fail(f"{block.fence.where}: " + "; ".join(other), pytrace=False)


def _is_quoted(block: Block, text: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in block.quoted_error.split("…"))
    return re.fullmatch(pattern, text.strip(), flags=re.DOTALL) is not None

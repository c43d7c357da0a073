"""Workspaces of the tests of ``evals/``, whose emulators and scripts start without delay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "evals"))

from harness import solutions
from kit import emulators, scripts, workspace
from kit.tasks import Task


@pytest.fixture
def prepare(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Path,
) -> Iterator[Callable[..., Path]]:
    """Call with a task and a name: a workspace whose emulator runs until the test ends."""
    monkeypatch.setattr(scripts, "start", solutions.start)
    running: list[Callable[[], None]] = []

    def start(kind: str, served: Path, log: Path) -> dict[str, Any]:
        if kind == "counting":
            emulator = emulators.start(kind, served, log)
            running.append(emulator.stop)
            return {"variables": emulator.variables, "hidden": emulator.hidden}
        return _fill_shared_server(kind, served, request)

    def call(task: Task, name: str, **options: Any) -> Path:
        options = {"arm": "none", "seed": 1, "start_emulator": start, **options}
        return workspace.prepare(task, folder=tmp_path / name, **options)

    yield call
    for stop in running:
        stop()


def _fill_shared_server(
    kind: str, served: Path, request: pytest.FixtureRequest
) -> dict[str, dict[str, str]]:
    """The worker's own S3 server and proxy, with the objects of a task."""
    server, proxy = request.getfixturevalue("s3_server"), request.getfixturevalue("proxy")
    emulators.write_public_images(served)
    server.fill(served)
    if kind == "s3-compatible":
        return {"variables": emulators.compatible_variables(server), "hidden": {}}
    proxy.routes.append(server.route)
    return {"variables": dict(server.user_keys), "hidden": proxy.environment}

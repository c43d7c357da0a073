"""Fixtures of all tests: clean environment, network guard, worlds, the count of blocks."""

from __future__ import annotations

import os

os.environ.setdefault("ICECHUNK_LOG", "error")  # read once, when icechunk is imported

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import network_guard
from worlds import samples
from worlds.metadata import CONTAINER_TOKEN
from worlds.proxy import Proxy
from worlds.s3 import S3

ROOT = Path(__file__).parents[1]
CLOUD_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "GCS_", "ICECHUNK_")

network_guard.install()


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``worlds.samples``, written once for each worker. Copy before changing any."""
    folder = tmp_path_factory.mktemp("samples")
    samples.write_all(folder)
    return folder


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy, and so one CA, for each worker: the AWS SDK loads its CA once for each process."""
    running = Proxy(tmp_path_factory.mktemp("proxy"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def s3_server(sample_folder: Path) -> Iterator[S3]:
    server = S3(sample_folder)
    yield server
    server.stop()


@pytest.fixture
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Proxy
) -> Iterator[Path]:
    """An empty working directory, an own HOME, no cloud variables, nothing but loopback."""
    for name in list(os.environ):
        if name.upper().startswith(CLOUD_VARIABLES) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
    guard_log = tmp_path / "refused-connections.log"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(network_guard.LOG_VARIABLE, str(guard_log))
    for name, value in proxy.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path / "work")
    proxy.refused.clear()
    proxy.route = None
    yield tmp_path / "work"
    refused = [*proxy.refused, *(guard_log.read_text().splitlines() if guard_log.exists() else [])]
    if refused:
        pytest.fail("the test reached for the network: " + "; ".join(refused), pytrace=False)


@pytest.fixture
def enter_world(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Path,
    proxy: Proxy,
) -> Iterator[Callable[[str], None]]:
    """Call with the name of a world to be in it until the test ends."""
    checks: list[Callable[[], None]] = []

    def enter(world: str) -> None:
        if world == "files":
            folder = request.getfixturevalue("sample_folder")
            shutil.copytree(folder, clean_environment / "data")
        elif world.startswith("s3-"):
            server: S3 = request.getfixturevalue("s3_server")
            server.reset()
            proxy.route = server.route
            for name, value in _s3_environment(world, server, clean_environment.parent).items():
                monkeypatch.setenv(name, value)
            server.metadata_reachable = world == "s3-ec2-role"
            server.role.requests.clear()
            if world in ("s3-ec2-role", "s3-ecs-role"):
                checks.append(lambda: _check_role_was_used(server))

    yield enter
    for check in checks:
        check()


def _s3_environment(world: str, server: S3, folder: Path) -> dict[str, str]:
    if world == "s3-keys":
        return server.user_keys
    if world == "s3-wrong-key":
        return {**server.user_keys, "AWS_SECRET_ACCESS_KEY": "wrong" * 8}
    if world == "s3-lambda-role":
        return server.session_keys()
    if world == "s3-ecs-role":
        token = folder / "container-token"
        token.write_text(CONTAINER_TOKEN)
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://{}:{}/container".format(
                *server.role.address
            ),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
    return {}


def _check_role_was_used(server: S3) -> None:
    assert server.role.requests, "the role's credentials were never asked for"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many Python blocks ran, by file."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "blocks" and report.when == "call":
                    path, count = value
                    ran[path] += count
    if ran:
        terminalreporter.section("Python blocks run")
        for path, count in sorted(ran.items()):
            terminalreporter.line(f"{count:5d}  {path}")
        terminalreporter.line(f"{sum(ran.values()):5d}  in all")

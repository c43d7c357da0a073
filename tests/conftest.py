"""Fixtures of all tests: clean environment, network guard, worlds, the count of blocks."""

from __future__ import annotations

import os

os.environ.setdefault("ICECHUNK_LOG", "error")  # read once, when icechunk is imported

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import (
    network_guard,
    npm,  # noqa: F401  (takes HOME before any test changes it)
)

# Servers are imported by the fixtures that start them: moto and mitmproxy take seconds, and most
# tests meet neither.
if TYPE_CHECKING:
    from worlds.azure import Azure
    from worlds.gcs import GCS
    from worlds.https import DataServer
    from worlds.proxy import Proxy
    from worlds.s3 import S3
    from worlds.tokens import Earthdata, PlanetaryComputer

ROOT = Path(__file__).parents[1]
CLOUD_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "GCS_", "ICECHUNK_", "EARTHDATA_", "PC_SDK_")

network_guard.install()


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the tool records of trusted places stays in this run, and out of the user's home."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of a run share, for what one of them makes for all."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``worlds.samples``, written once for each worker. Copy before changing any."""
    from worlds import samples

    folder = tmp_path_factory.mktemp("samples")
    samples.write_all(folder)
    return folder


@pytest.fixture(scope="session")
def format_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``worlds.formats``, written once for each worker. Copy before changing any."""
    from worlds import formats  # the libraries of a dozen formats: only where they are needed

    folder = tmp_path_factory.mktemp("formats")
    formats.write_all(folder)
    return folder


@pytest.fixture(scope="session")
def irregular_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``worlds.irregular``, written once for each worker."""
    from worlds import irregular

    folder = tmp_path_factory.mktemp("irregular")
    irregular.write_all(folder)
    return folder


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy, and so one CA, for each worker: the AWS SDK loads its CA once for each process."""
    from worlds.proxy import Proxy

    running = Proxy(tmp_path_factory.mktemp("proxy"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def s3_server(sample_folder: Path) -> Iterator[S3]:
    from worlds.s3 import S3

    server = S3(sample_folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gcs_server(sample_folder: Path) -> GCS:
    from worlds.gcs import GCS

    return GCS(sample_folder)


@pytest.fixture(scope="session")
def azure_server(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    from worlds.azure import Azure

    server = Azure(sample_folder, tmp_path_factory.mktemp("azure"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def earthdata(s3_server: S3, sample_folder: Path) -> Earthdata:
    from worlds.tokens import Earthdata

    return Earthdata(s3_server, sample_folder)


@pytest.fixture(scope="session")
def planetary_computer(azure_server: Azure) -> PlanetaryComputer:
    from worlds.tokens import PlanetaryComputer

    return PlanetaryComputer(azure_server)


@pytest.fixture(scope="session")
def data_server(sample_folder: Path) -> DataServer:
    from worlds.https import DataServer

    return DataServer(sample_folder)


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
    proxy.begin_test()
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
    from worlds.entering import Surroundings, enter

    around = Surroundings(clean_environment, proxy, monkeypatch, request.getfixturevalue)
    yield partial(enter, around=around)
    for check in around.checks:
        check()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Call the command line: its exit status, and all that it said."""

    import virtual_zarr

    def call(*arguments: str | Path) -> tuple[int, str]:
        capsys.readouterr()
        status = virtual_zarr.main([*map(str, arguments), "--quiet"])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out + said.err

    return call


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many Python blocks ran, by file, and what an agent's reading costs."""
    ran: Counter[str] = Counter()
    tokens: dict[str, int] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "blocks" and report.when == "call":
                    path, count = value
                    ran[path] += count
                elif name == "tokens" and report.when == "call":
                    tokens = value
    if ran:
        terminalreporter.section("Python blocks run")
        for path, count in sorted(ran.items()):
            terminalreporter.line(f"{count:5d}  {path}")
        terminalreporter.line(f"{sum(ran.values()):5d}  in all")
    if tokens:
        terminalreporter.section("Tokens")
        for path, count in tokens.items():
            terminalreporter.line(f"{count:6d}  {path}")

"""Fixtures of all tests: clean environment, network guard, worlds, the count of blocks."""

from __future__ import annotations

import os

os.environ.setdefault("ICECHUNK_LOG", "error")  # read once, when icechunk is imported

import copy
import shutil
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import network_guard
from worlds import https, samples
from worlds.azure import CLIENT_ID, CLIENT_SECRET, KEY, TENANT, Azure
from worlds.gcs import GCS
from worlds.https import DataServer
from worlds.metadata import CONTAINER_TOKEN
from worlds.proxy import Proxy
from worlds.s3 import S3

ROOT = Path(__file__).parents[1]
CLOUD_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "GCS_", "ICECHUNK_")

network_guard.install()


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the tool records of trusted places stays in this run, and out of the user's home."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``worlds.samples``, written once for each worker. Copy before changing any."""
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


@pytest.fixture(scope="session")
def gcs_server(sample_folder: Path) -> GCS:
    return GCS(sample_folder)


@pytest.fixture(scope="session")
def azure_server(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    server = Azure(sample_folder, tmp_path_factory.mktemp("azure"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def data_server(sample_folder: Path) -> DataServer:
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
    checks: list[Callable[[], None]] = []

    def enter(world: str) -> None:
        if world == "clouds":
            for part in ("s3-keys", "gcs-public", "https"):
                enter(part)
        elif world == "files":
            folder = request.getfixturevalue("sample_folder")
            shutil.copytree(folder, clean_environment / "data")
        elif world == "formats":
            folder = request.getfixturevalue("format_folder")
            shutil.copytree(folder, clean_environment / "data" / "formats")
            _undo_what_blocks_change_in_libraries(monkeypatch)
        elif world.startswith("gcs-"):
            gcs: GCS = request.getfixturevalue("gcs_server")
            gcs.reset()
            proxy.routes.append(gcs.route)
            _give_google_credentials(world, gcs, clean_environment.parent, monkeypatch)
            if world in ("gcs-user", "gcs-metadata"):
                checks.append(lambda: _check_token_was_asked(gcs))
        elif world.startswith("azure-"):
            azure: Azure = request.getfixturevalue("azure_server")
            azure.reset()
            proxy.routes.append(azure.route)
            for name, value in _azure_environment(world, azure).items():
                monkeypatch.setenv(name, value)
            azure.metadata_reachable = world == "azure-managed-identity"
            if world in ("azure-client", "azure-managed-identity"):
                checks.append(lambda: _check_token_was_asked(azure))
        elif world.startswith("https"):
            server: DataServer = request.getfixturevalue("data_server")
            server.reset()
            proxy.routes.append(server.route)
            if world == "https-token":
                monkeypatch.setenv("ARCHIVE_TOKEN", https.TOKEN)
            elif world == "https-wrong-token":
                monkeypatch.setenv("ARCHIVE_TOKEN", "wrong")
        elif world.startswith("s3-"):
            server: S3 = request.getfixturevalue("s3_server")
            server.reset()
            proxy.routes.append(server.route)
            for name, value in _s3_environment(world, server, clean_environment.parent).items():
                monkeypatch.setenv(name, value)
            if world == "s3-untrusted":
                monkeypatch.delenv("SSL_CERT_FILE")
            server.metadata_reachable = world == "s3-ec2-role"
            server.role.requests.clear()
            if world in ("s3-ec2-role", "s3-ecs-role"):
                checks.append(lambda: _check_role_was_used(server))

    yield enter
    for check in checks:
        check()


def _undo_what_blocks_change_in_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks on formats register codecs and correct libraries; undo it for the next test."""
    import kerchunk.hdf4
    import virtual_tiff.codecs
    import zarr.registry
    from virtualizarr.manifests import ManifestStore

    codecs = {key: copy.copy(known) for key, known in zarr.registry._codec_registries.items()}
    for registry in codecs.values():  # or a codec that one test loads is lost to the next
        registry.lazy_load_list = list(registry.lazy_load_list)
    codecs = defaultdict(zarr.registry.Registry, codecs)
    monkeypatch.setattr(zarr.registry, "_codec_registries", codecs)
    monkeypatch.setattr(kerchunk.hdf4, "dtypes", dict(kerchunk.hdf4.dtypes))
    monkeypatch.setattr(virtual_tiff.codecs, "Endian", virtual_tiff.codecs.Endian)
    monkeypatch.setattr(ManifestStore, "__str__", ManifestStore.__str__)


def _give_google_credentials(
    world: str, gcs: GCS, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world in ("gcs-service-account", "gcs-wrong-key"):
        key = folder / "service-account.json"
        key.write_text(gcs.service_account(known=world == "gcs-service-account"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    elif world == "gcs-user":
        gcloud = folder / "home" / ".config" / "gcloud"
        gcloud.mkdir(parents=True)
        (gcloud / "application_default_credentials.json").write_text(gcs.user_credentials())
    gcs.metadata_reachable = world == "gcs-metadata"


def _azure_environment(world: str, azure: Azure) -> dict[str, str]:
    if world == "azure-key":
        return {"AZURE_STORAGE_ACCOUNT_KEY": KEY}
    if world == "azure-wrong-key":
        return {"AZURE_STORAGE_ACCOUNT_KEY": b64encode(b"wrong" * 8).decode()}
    if world == "azure-sas":
        return {"AZURE_STORAGE_SAS_TOKEN": azure.shared_access_signature()}
    if world == "azure-client":
        return {
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_TENANT_ID": TENANT,
        }
    return {}


def _check_token_was_asked(cloud: GCS | Azure) -> None:
    assert cloud.token_requests, "no access token was ever asked for"


def _s3_environment(world: str, server: S3, folder: Path) -> dict[str, str]:
    if world in ("s3-keys", "s3-untrusted"):
        return server.user_keys
    if world == "s3-wrong-key":
        return {**server.user_keys, "AWS_SECRET_ACCESS_KEY": "wrong" * 8}
    if world == "s3-lambda-role":
        return server.session_keys()
    if world == "s3-profile":
        return _write_profile(folder / "home" / ".aws", server.user_keys)
    if world == "s3-irsa":
        token = folder / "web-identity-token"
        token.write_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiJwb2QifQ.")
        return {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": server.role_arn,
            "AWS_ROLE_SESSION_NAME": "pod",
            "AWS_REGION": "us-west-2",
        }
    if world == "s3-compatible":
        return {
            "MINIO_ACCESS_KEY": server.user_keys["AWS_ACCESS_KEY_ID"],
            "MINIO_SECRET_KEY": server.user_keys["AWS_SECRET_ACCESS_KEY"],
        }
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


def _write_profile(folder: Path, keys: dict[str, str]) -> dict[str, str]:
    folder.mkdir()
    lines = [f"{name.lower()} = {value}" for name, value in keys.items()]
    (folder / "credentials").write_text("\n".join(["[archive]", *lines, ""]))
    (folder / "config").write_text("[profile archive]\nregion = us-west-2\n")
    return {"AWS_PROFILE": "archive"}


def _check_role_was_used(server: S3) -> None:
    assert server.role.requests, "the role's credentials were never asked for"


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

"""How a test enters a world: one table, name to builder. The servers are fixtures of conftest."""

from __future__ import annotations

import copy
import shutil
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zarr

from worlds import NO_WORLD, https, tokens
from worlds.azure import CLIENT_ID, CLIENT_SECRET, KEY, TENANT, Azure
from worlds.gcs import GCS
from worlds.https import DataServer
from worlds.metadata import CONTAINER_TOKEN
from worlds.proxy import Proxy
from worlds.s3 import S3


@dataclass
class Surroundings:
    """Where a test runs, and what a world may change there.

    ``work`` is its working directory, ``fixture`` gives a server or a folder by name. ``checks``
    are called when the test has ended.
    """

    work: Path
    proxy: Proxy
    monkeypatch: pytest.MonkeyPatch
    fixture: Callable[[str], Any]
    checks: list[Callable[[], None]] = field(default_factory=list)

    @property
    def beside(self) -> Path:
        """A folder that blocks do not see: the one above the working directory."""
        return self.work.parent

    def set_environment(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.monkeypatch.setenv(name, value)

    def check_at_the_end(self, holds: Callable[[], object], sentence: str) -> None:
        def check() -> None:
            assert holds(), sentence

        self.checks.append(check)


Builder = Callable[[Surroundings], None]


def enter(world: str, around: Surroundings) -> None:
    """Build a world around a test; several may be entered, one after another."""
    BUILDERS[world](around)


def _nothing(around: Surroundings) -> None:
    """The empty working directory that is there already."""


def _files(around: Surroundings) -> None:
    shutil.copytree(around.fixture("sample_folder"), around.work / "data")


def _formats(around: Surroundings) -> None:
    shutil.copytree(around.fixture("format_folder"), around.work / "data" / "formats")
    _undo_what_blocks_change_in_libraries(around.monkeypatch)


def _irregular(around: Surroundings) -> None:
    folder = around.fixture("irregular_folder")
    shutil.copytree(folder, around.work / "data" / "irregular")
    flag = "array.rectilinear_chunks"  # which the tool sets when it is imported
    around.checks.append(partial(zarr.config.set, {flag: zarr.config.get(flag)}))
    zarr.config.set({flag: False})


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


def _s3(
    around: Surroundings,
    environment: Callable[[S3, Path], dict[str, str]] = lambda server, beside: {},
    metadata: bool = False,
    asks_role: bool = False,
) -> None:
    """S3 for a client with ``environment``; ``asks_role``: it must have asked for the role's."""
    server: S3 = around.fixture("s3_server")
    server.reset()
    around.proxy.routes.append(server.route)
    around.set_environment(environment(server, around.beside))
    server.metadata_reachable = metadata
    server.role.requests.clear()
    if asks_role:
        around.check_at_the_end(
            lambda: server.role.requests, "the role's credentials were never asked for"
        )


def _keys(server: S3, beside: Path) -> dict[str, str]:
    return server.user_keys


def _wrong_key(server: S3, beside: Path) -> dict[str, str]:
    return {**server.user_keys, "AWS_SECRET_ACCESS_KEY": "wrong" * 8}


def _session_keys(server: S3, beside: Path) -> dict[str, str]:
    return server.session_keys()


def _profile(server: S3, beside: Path) -> dict[str, str]:
    folder = beside / "home" / ".aws"
    folder.mkdir()
    lines = [f"{name.lower()} = {value}" for name, value in server.user_keys.items()]
    (folder / "credentials").write_text("\n".join(["[archive]", *lines, ""]))
    (folder / "config").write_text("[profile archive]\nregion = us-west-2\n")
    return {"AWS_PROFILE": "archive"}


def _assumed_role(server: S3, beside: Path) -> dict[str, str]:
    """The keys of ``s3-profile``, and a profile without any that assumes the role with them."""
    _profile(server, beside)
    with (beside / "home" / ".aws" / "config").open("a") as file:
        file.write(
            f"[profile writer]\nrole_arn = {server.role_arn}\nsource_profile = archive\n"
            "region = us-west-2\n"
        )
    return {}


def _web_identity(server: S3, beside: Path) -> dict[str, str]:
    token = beside / "web-identity-token"
    token.write_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiJwb2QifQ.")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": server.role_arn,
        "AWS_ROLE_SESSION_NAME": "pod",
        "AWS_REGION": "us-west-2",
    }


def _compatible_keys(server: S3, beside: Path) -> dict[str, str]:
    return {
        "MINIO_ACCESS_KEY": server.user_keys["AWS_ACCESS_KEY_ID"],
        "MINIO_SECRET_KEY": server.user_keys["AWS_SECRET_ACCESS_KEY"],
    }


def _container_endpoint(server: S3, beside: Path) -> dict[str, str]:
    token = beside / "container-token"
    token.write_text(CONTAINER_TOKEN)
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://{}:{}/container".format(*server.role.address),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


def _untrusted(around: Surroundings) -> None:
    _s3(around, _keys)
    around.monkeypatch.delenv("SSL_CERT_FILE")


def _gcs(
    around: Surroundings,
    give: Callable[[GCS, Surroundings], None] = lambda gcs, around: None,
    metadata: bool = False,
    asks_token: bool = False,
) -> None:
    gcs: GCS = around.fixture("gcs_server")
    gcs.reset()
    around.proxy.routes.append(gcs.route)
    give(gcs, around)
    gcs.metadata_reachable = metadata
    if asks_token:
        _check_token_was_asked(around, gcs)


def _key_file(gcs: GCS, around: Surroundings, known: bool = True) -> None:
    key = around.beside / "service-account.json"
    key.write_text(gcs.service_account(known=known))
    around.set_environment({"GOOGLE_APPLICATION_CREDENTIALS": str(key)})


def _gcloud(gcs: GCS, around: Surroundings) -> None:
    gcloud = around.beside / "home" / ".config" / "gcloud"
    gcloud.mkdir(parents=True)
    (gcloud / "application_default_credentials.json").write_text(gcs.user_credentials())


def _azure(
    around: Surroundings,
    environment: Callable[[Azure], dict[str, str]] = lambda azure: {},
    metadata: bool = False,
    asks_token: bool = False,
) -> None:
    azure: Azure = around.fixture("azure_server")
    azure.reset()
    around.proxy.routes.append(azure.route)
    around.set_environment(environment(azure))
    azure.metadata_reachable = metadata
    if asks_token:
        _check_token_was_asked(around, azure)


def _account_key(azure: Azure) -> dict[str, str]:
    return {"AZURE_STORAGE_ACCOUNT_KEY": KEY}


def _wrong_account_key(azure: Azure) -> dict[str, str]:
    return {"AZURE_STORAGE_ACCOUNT_KEY": b64encode(b"wrong" * 8).decode()}


def _signature(azure: Azure) -> dict[str, str]:
    return {"AZURE_STORAGE_SAS_TOKEN": azure.shared_access_signature()}


def _service_principal(azure: Azure) -> dict[str, str]:
    return {
        "AZURE_CLIENT_ID": CLIENT_ID,
        "AZURE_CLIENT_SECRET": CLIENT_SECRET,
        "AZURE_TENANT_ID": TENANT,
    }


def _check_token_was_asked(around: Surroundings, cloud: GCS | Azure) -> None:
    around.check_at_the_end(lambda: cloud.token_requests, "no access token was ever asked for")


def _https(around: Surroundings, token: str = "") -> None:
    server: DataServer = around.fixture("data_server")
    server.reset()
    server.folder = around.work / "public"
    around.proxy.routes.append(server.route)
    if token:
        around.set_environment({"ARCHIVE_TOKEN": token})


def _earthdata(around: Surroundings) -> None:
    _s3(around, _keys)
    service: tokens.Earthdata = around.fixture("earthdata")
    service.reset()
    service.fill()
    _stand_before(around, service)
    around.set_environment({"EARTHDATA_TOKEN": tokens.TOKEN})


def _planetary_computer(around: Surroundings) -> None:
    _azure(around, _account_key)
    service: tokens.PlanetaryComputer = around.fixture("planetary_computer")
    service.reset()
    _stand_before(around, service)


def _stand_before(
    around: Surroundings, service: tokens.Earthdata | tokens.PlanetaryComputer
) -> None:
    """Let a service see the requests to its cloud, and forget what this process was given."""
    from vzarr.sources import token_services  # the tool, which most worlds do not need

    around.proxy.routes.insert(0, service.route)
    around.monkeypatch.setattr(token_services, "_given", {})
    around.check_at_the_end(lambda: not service.misused, "credentials were sent elsewhere")


def _clouds(around: Surroundings) -> None:
    for part in ("s3-keys", "gcs-public", "https"):
        enter(part, around)


BUILDERS: dict[str, Builder] = {
    NO_WORLD: _nothing,
    "files": _files,
    "formats": _formats,
    "irregular": _irregular,
    "s3-public": _s3,
    "s3-keys": partial(_s3, environment=_keys),
    "s3-ec2-role": partial(_s3, metadata=True, asks_role=True),
    "s3-ecs-role": partial(_s3, environment=_container_endpoint, asks_role=True),
    "s3-lambda-role": partial(_s3, environment=_session_keys),
    "s3-profile": partial(_s3, environment=_profile),
    "s3-assumed-role": partial(_s3, environment=_assumed_role),
    "s3-irsa": partial(_s3, environment=_web_identity),
    "s3-compatible": partial(_s3, environment=_compatible_keys),
    "s3-untrusted": _untrusted,
    "s3-wrong-key": partial(_s3, environment=_wrong_key),
    "s3-no-credentials": _s3,
    "gcs-public": _gcs,
    "gcs-service-account": partial(_gcs, give=_key_file),
    "gcs-user": partial(_gcs, give=_gcloud, asks_token=True),
    "gcs-metadata": partial(_gcs, metadata=True, asks_token=True),
    "gcs-wrong-key": partial(_gcs, give=partial(_key_file, known=False)),
    "gcs-no-credentials": _gcs,
    "azure-public": _azure,
    "azure-key": partial(_azure, environment=_account_key),
    "azure-wrong-key": partial(_azure, environment=_wrong_account_key),
    "azure-sas": partial(_azure, environment=_signature),
    "azure-client": partial(_azure, environment=_service_principal, asks_token=True),
    "azure-managed-identity": partial(_azure, metadata=True, asks_token=True),
    "https": _https,
    "https-token": partial(_https, token=https.TOKEN),
    "https-wrong-token": partial(_https, token="wrong"),
    "clouds": _clouds,
    "earthdata": _earthdata,
    "planetary-computer": _planetary_computer,
}
"""The builder of each world that ``worlds.WORLDS`` describes, and of none."""

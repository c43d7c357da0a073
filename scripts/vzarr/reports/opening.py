"""Python that opens a store, to be copied: with what its readers authorize and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vzarr.repository.contents import needed_codecs
from vzarr.sources.schemes import Access, root_of

if TYPE_CHECKING:
    from vzarr.commands.show import Shown

KEYS = {
    "s3": "icechunk.Credentials.S3(icechunk.s3_credentials({}))",
    "gs": "icechunk.Credentials.Gcs(icechunk.gcs_credentials({}))",
    "az": "icechunk.Credentials.Azure(icechunk.azure_credentials({}))",
}
"""Of the sources of a scheme; keys come from the environment, or there are none."""


def opening_code(shown: Shown, access: Access) -> str:
    """Lines for a reader: of Icechunk and xarray alone, unless it needs codecs that Zarr lacks."""
    branch, groups = shown.branch, sorted({path.rpartition("/")[0] for path in shown.coverage})
    group = groups[0] if groups and "" not in groups else ""
    if needed_codecs(shown.arrays):
        more = f", {group!r}" if group else ""
        location = shown.repository.removeprefix("file://")
        opened = f"ds = vzarr.open_dataset({location!r}{more})"
        return f"import vzarr  # of the skill, in scripts/\n\n{opened}"
    modules = ["icechunk", "xarray as xr"]
    lines = []
    if any("rectilinear" in need for need in shown.readers):
        modules.append("zarr")
        lines.append('zarr.config.set({"array.rectilinear_chunks": True})')
    lines += [f"storage = {_storage(shown.repository, access.of_repository)}"]
    if shown.containers:
        lines += ["access = {"]
        lines += [f"    {place['prefix']!r}: {_credentials(place)}," for place in shown.containers]
        lines += ["}"]
    authorized = ", authorize_virtual_chunk_access=access" if shown.containers else ""
    more = f", group={group!r}" if group else ""
    lines += [
        f"repo = icechunk.Repository.open(storage{authorized})",
        f"session = repo.readonly_session({branch!r})",
        f"ds = xr.open_zarr(session.store, consolidated=False{more})",
    ]
    return "\n".join([*(f"import {name}" for name in modules), "", *lines])


def _storage(location: str, access: Access) -> str:
    root = root_of(location)
    scheme, _, host = root.partition("://")
    path = location.removeprefix(root).strip("/")
    keys = "anonymous=True" if access.anonymous else "from_env=True"
    if scheme == "s3":
        options = [f"bucket={host!r}", f"prefix={path!r}", f"region={access.aws_region!r}", keys]
        options += _server(access.s3_endpoint)
        return f"icechunk.s3_storage({', '.join(options)})"
    if scheme == "gs":
        return f"icechunk.gcs_storage(bucket={host!r}, prefix={path!r}, {keys})"
    if scheme == "az":
        account = f"account={access.azure_account!r}, container={host!r}"
        return f"icechunk.azure_storage({account}, prefix={path!r}, {keys})"
    return f"icechunk.local_filesystem_storage({location.removeprefix('file://')!r})"


def _server(endpoint: str | None) -> list[str]:
    if endpoint is None:
        return []
    options = [f"endpoint_url={endpoint!r}", "force_path_style=True"]
    return [*options, "allow_http=True"] if endpoint.lower().startswith("http://") else options


def _credentials(place: Mapping[str, Any]) -> str:
    scheme = place["prefix"].partition("://")[0]
    if scheme == "file":
        return "icechunk.credentials.LocalFileSystemAccess"
    if scheme == "https":
        return "icechunk.credentials.HttpAccess"
    return KEYS[scheme].format("anonymous=True" if place.get("anonymous") else "from_env=True")

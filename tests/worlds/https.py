"""A fake of a well-kept data server on HTTPS: ranges, validators, a bearer token where asked.

The public host shows a folder of the user's, too: as if the block ran on that server.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from mitmproxy import http

from worlds.objects import StoredObject, make_response, read_object
from worlds.proxy import NoRoute

PUBLIC_HOST = "data.example.org"
PROTECTED_HOST = "archive.example.org"
TOKEN = "token-of-the-archive"


class DataServer:
    """Serves the ERA5-like sample files under ``/era5/`` on both hosts, and ``folder``."""

    def __init__(self, sample_folder: Path) -> None:
        self._samples = sample_folder
        self.reset()

    def reset(self) -> None:
        """Give the files their first state."""
        self.folder: Path | None = None
        self.files = {
            f"/era5/{path.name}": StoredObject(path.read_bytes(), path.stat().st_mtime)
            for path in sorted((self._samples / "era5").glob("*.nc"))
        }

    def route(self, flow: http.HTTPFlow) -> None:
        """Answer requests to the two hosts; raise ``NoRoute`` for others."""
        request = flow.request
        host = request.pretty_host
        if host not in (PUBLIC_HOST, PROTECTED_HOST):
            raise NoRoute(host)
        authorized = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        stored = self._find(request.path.partition("?")[0], host)
        if host == PROTECTED_HOST and not authorized:
            headers = {"WWW-Authenticate": "Bearer"}
            flow.response = make_response(request, 401, b"token required", headers)
        elif stored is None:
            flow.response = make_response(request, 404, b"not found")
        elif request.method not in ("GET", "HEAD"):
            flow.response = make_response(request, 405)
        else:
            flow.response = read_object(stored, request)

    def _find(self, path: str, host: str) -> StoredObject | None:
        local = self.folder and self.folder / unquote(path).lstrip("/")
        if host == PUBLIC_HOST and local and local.is_file() and ".." not in path:
            return StoredObject(local.read_bytes(), local.stat().st_mtime)
        return self.files.get(path)

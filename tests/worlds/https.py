"""A fake of a well-kept data server on HTTPS: ranges, validators, a bearer token where asked."""

from __future__ import annotations

from pathlib import Path

from mitmproxy import http

from worlds.objects import StoredObject, make_response, read_object
from worlds.proxy import NoRoute

PUBLIC_HOST = "data.example.org"
PROTECTED_HOST = "archive.example.org"
TOKEN = "token-of-the-archive"


class DataServer:
    """Serves the ERA5-like sample files under ``/era5/`` on both hosts."""

    def __init__(self, sample_folder: Path) -> None:
        self._samples = sample_folder
        self.reset()

    def reset(self) -> None:
        """Give the files their first state."""
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
        stored = self.files.get(request.path.partition("?")[0])
        if host == PROTECTED_HOST and not authorized:
            headers = {"WWW-Authenticate": "Bearer"}
            flow.response = make_response(request, 401, b"token required", headers)
        elif stored is None:
            flow.response = make_response(request, 404, b"not found")
        elif request.method not in ("GET", "HEAD"):
            flow.response = make_response(request, 405)
        else:
            flow.response = read_object(stored, request)

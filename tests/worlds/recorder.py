"""A server on 127.0.0.1 that writes down what it is sent, and answers with zeros or elsewhere."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = 400
"""Bytes of every object: zeros."""


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]

    def holds(self, secret: str) -> bool:
        return secret in self.path or any(secret in value for value in self.headers.values())


@dataclass
class Recorder:
    """``location``: to where all requests are redirected. Use as a context manager."""

    location: str | None = None
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Recorder:
        handler = type("Handler", (_Handler,), {"recorder": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if self.context is not None:
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{'http' if self.context is None else 'https'}://{self.host}"

    def saw(self, secret: str) -> bool:
        return any(request.holds(secret) for request in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.recorder.requests.append(Request(self.command, self.path, headers))
        if self.recorder.location:
            self.send_response(302)
            self.send_header("Location", self.recorder.location + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = 0, SIZE - 1
        if wanted := headers.get("range"):
            begin, _, end = wanted.partition("=")[2].partition("-")
            first, last = int(begin or 0), min(int(end or last), last)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(bytes(last - first + 1))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

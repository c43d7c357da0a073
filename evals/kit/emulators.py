"""Servers for tasks in clouds: S3 behind its own host names, S3-compatible ones, one that counts.

``python emulators.py KIND SERVED LOG`` serves the files of the folder SERVED, writes its process
and the variables that lead to it into ``LOG/emulator.json``, and ends 30 minutes after the last
request, or when it is told to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

IDLE = 30 * 60.0
"""Seconds without a request after which an emulator ends."""
REQUESTS = "requests.jsonl"
BUCKET = "profiles"
"""Of the server that counts."""


@dataclass
class Emulator:
    """``variables`` for the user's environment; ``hidden`` for programs alone, as a proxy's are."""

    variables: dict[str, str]
    stop: Callable[[], None]
    hidden: dict[str, str] = field(default_factory=dict)
    last_request: Callable[[], float] = time.time


def start(kind: str, served: Path, log: Path) -> Emulator:
    """Start one in this process."""
    return {"s3": start_s3, "s3-compatible": start_compatible, "counting": start_counting}[kind](
        served, log
    )


def start_counting(served: Path, log: Path) -> Emulator:
    """A public S3-compatible server at ``ARCHIVE_ENDPOINT`` that writes down every request."""
    contents = {f"/{BUCKET}/{path.name}": path.read_bytes() for path in sorted(served.iterdir())}
    seen = [time.time()]
    lock = threading.Lock()

    class Handler(_Objects):
        objects = contents

        def note(self, sent: int) -> None:
            with lock, (log / REQUESTS).open("a") as target:
                seen[0] = time.time()
                line = {"method": self.command, "path": self.path, "bytes": sent}
                target.write(json.dumps(line) + "\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    url = f"http://127.0.0.1:{server.server_port}"
    return Emulator({"ARCHIVE_ENDPOINT": url}, stop, last_request=lambda: seen[0])


class _Objects(BaseHTTPRequestHandler):
    """GET and HEAD of objects in memory, whole or in ranges, and the list of a bucket."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    DELAY = 0.003

    def note(self, sent: int) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        time.sleep(self.DELAY)
        path, _, query = self.path.partition("?")
        if path.strip("/") == BUCKET:
            return self._answer(200, self._listing(parse_qs(query)), {})
        data = self.objects.get(unquote(path))
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        size, told = len(data), _validators(data)
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return self._answer(200, data, told)
        first, _, last = wanted[6:].partition("-")
        begin = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if begin >= size:
            return self._answer(416, b"", {"Content-Range": f"bytes */{size}"})
        told["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        return self._answer(206, data[begin:end], told)

    do_HEAD = do_GET

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        """All keys behind a prefix, on one page."""
        prefix = query.get("prefix", [""])[0]
        found = [(path.rpartition("/")[2], data) for path, data in self.objects.items()]
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2024-02-01T00:00:00.000Z</LastModified>"
            f"<ETag>{_validators(data)['ETag']}</ETag><Size>{len(data)}</Size></Contents>"
            for key, data in found
            if key.startswith(prefix)
        )
        head = f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>"
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<ListBucketResult xmlns="{namespace}">{head}{entries}</ListBucketResult>'
        ).encode()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.note(0 if self.command == "HEAD" else len(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


def _validators(data: bytes) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "ETag": f'"{hashlib.md5(data).hexdigest()}"',
        "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT",
    }


def start_s3(served: Path, log: Path) -> Emulator:
    """AWS as it is seen through a proxy: two private buckets in ``us-west-2``, keys of a user."""
    server = _s3(served)
    from worlds.proxy import Proxy

    folder = log / "proxy"
    folder.mkdir(parents=True, exist_ok=True)
    proxy = Proxy(folder)
    seen = [time.time()]

    def route(flow: Any) -> Any:
        seen[0] = time.time()
        return server.route(flow)

    proxy.start()
    proxy.routes.append(route)

    def stop() -> None:
        proxy.stop()
        server.stop()

    return Emulator(dict(server.user_keys), stop, proxy.environment, lambda: seen[0])


def start_compatible(served: Path, log: Path) -> Emulator:
    """A server of one's own at ``MINIO_ENDPOINT``, without TLS, with the same buckets."""
    server = _s3(served)
    hour_later = time.time() + 3600  # its requests are not seen: it gets an hour more than others
    variables = compatible_variables(server)
    return Emulator(variables, server.stop, last_request=lambda: hour_later)


def compatible_variables(server: Any) -> dict[str, str]:
    """Where such a server is, and its keys."""
    return {
        "MINIO_ENDPOINT": "http://{}:{}".format(*server.address),
        "MINIO_ACCESS_KEY": server.user_keys["AWS_ACCESS_KEY_ID"],
        "MINIO_SECRET_KEY": server.user_keys["AWS_SECRET_ACCESS_KEY"],
    }


def _s3(served: Path) -> Any:
    """moto with IAM and signatures enforced, the files under ``era5/`` of the first bucket."""
    tests = str(Path(__file__).parents[2] / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    write_public_images(served)
    from worlds.s3 import S3

    server = S3(served)
    server.reset()
    return server


def write_public_images(served: Path) -> None:
    """What the server's public bucket has, which no task is about."""
    from worlds import samples

    for hour in samples.GOES_HOURS:
        samples.write_goes_image(served / "goes", hour)


def start_detached(kind: str, served: Path, log: Path, wait: float = 60.0) -> dict[str, Any]:
    """Start one as a process of its own, which outlives this one; returns ``emulator.json``."""
    told = log / "emulator.json"
    with (log / "emulator.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, kind, str(served), str(log)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + wait
    while not told.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the emulator did not start: see {log / 'emulator.txt'}")
        time.sleep(0.05)
    return json.loads(told.read_text())


def stop_detached(log: Path) -> None:
    """End the emulator of a workspace, if it has one that is running."""
    told = log / "emulator.json"
    if told.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(told.read_text())["pid"], signal.SIGTERM)


def requests(log: Path) -> list[dict[str, Any]]:
    """What was asked of the server of files so far."""
    path = log / REQUESTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(kind: str, served: Path, log: Path) -> None:
    """Serve until nobody asks any more."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    emulator = start(kind, served, log)
    shutil.rmtree(served)  # it lies in memory: nobody is to find it on the disk
    told = {"pid": os.getpid(), "variables": emulator.variables, "hidden": emulator.hidden}
    temporary = log / "emulator.part"
    temporary.write_text(json.dumps(told))
    temporary.replace(log / "emulator.json")
    begun = time.time()
    while not ended.wait(5) and time.time() - max(begun, emulator.last_request()) < IDLE:
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

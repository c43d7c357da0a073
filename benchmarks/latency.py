"""An object store on 127.0.0.1 as far away as a real one: S3's reading half, delayed and counted.

``python -m benchmarks.latency FOLDER`` serves the folder as a bucket until its standard input ends,
in a process of its own so that clients keep their cores. ``serve`` starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import email.utils
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

DELAY = 0.040
"""Seconds before the first byte of each answer."""
REQUEST_RATE = 90e6
"""Bytes a second in one request: "85-90 MB/s", says Amazon's guide to S3 performance."""
LINK_RATE = 250e6
"""Bytes a second in all requests together: 2 Gbit/s."""
BUCKET = "archive"
PIECE = 256 * 1024
PAGE = 1000


@dataclass(frozen=True)
class Counts:
    requests: int
    bytes: int


@dataclass(frozen=True)
class FarStore:
    """Where the server listens, and how each library reaches it."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def prefix(self) -> str:
        return f"s3://{BUCKET}/"

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients there that are only told ``s3://``: no keys are needed."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ALLOW_HTTP": "true"}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have ``environment`` in this process, and in those that it starts."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value

    def object_store(self) -> Any:
        """obstore's, as a registry holds it under ``s3://archive``."""
        from obstore.store import S3Store

        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
        )

    def container_store(self) -> Any:
        """Icechunk's, for a virtual chunk container; its credentials are ``anonymous``."""
        import icechunk

        return icechunk.s3_store(
            region="us-east-1",
            endpoint_url=self.endpoint,
            allow_http=True,
            anonymous=True,
            force_path_style=True,
        )

    def filesystem(self) -> Any:
        """obstore's filesystem for fsspec, which asks for what fsspec's caches decide."""
        from obstore.fsspec import FsspecStore

        return FsspecStore(
            "s3",
            endpoint=self.endpoint,
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
        )

    def take_counts(self) -> Counts:
        """Requests and bytes since the last time."""
        with urllib.request.urlopen(f"{self.endpoint}/-/counts", timeout=10) as answer:
            return Counts(**json.load(answer))


@contextmanager
def serve(folder: Path, delay: float = DELAY) -> Iterator[FarStore]:
    """Serve the files below a folder as ``s3://archive/``, until the block ends.

    Raises
    ------
    RuntimeError
        If the server does not start.
    """
    command = [sys.executable, "-m", "benchmarks.latency", str(folder), "--delay", str(delay)]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{' '.join(command)} ended with status {process.wait()}")
        yield FarStore(int(port))
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class _Link:
    """Says when the next bytes may leave, so that no more than ``rate`` a second do."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free = rate, 0.0

    def book(self, size: int, now: float) -> float:
        self._free = max(self._free, now) + size / self._rate
        return self._free


class _Server:
    def __init__(self, folder: Path, delay: float) -> None:
        self._folder, self._delay = folder.resolve(), delay
        self._link = _Link(LINK_RATE)
        self._requests = self._bytes = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ", 2)
                pairs = (line.partition(":") for line in lines if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                path, _, query = target.partition("?")
                if path == "/-/counts":
                    counts = {"requests": self._requests, "bytes": self._bytes}
                    body = json.dumps(counts).encode()
                    writer.write(_head(200, {}, len(body)) + body)
                    self._requests = self._bytes = 0
                    continue
                self._requests += 1
                await asyncio.sleep(self._delay)
                bucket, _, key = unquote(path).lstrip("/").partition("/")
                if method not in ("GET", "HEAD") or bucket != BUCKET:
                    await self._send(writer, 404, {}, _error("NoSuchBucket"))
                elif key:
                    await self._send_object(writer, method, key, headers)
                else:
                    await self._send(writer, 200, {}, self._list(parse_qs(query)))
        writer.close()

    async def _send_object(
        self, writer: asyncio.StreamWriter, method: str, key: str, headers: dict[str, str]
    ) -> None:
        path = (self._folder / key).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            await self._send(writer, 404, {}, b"" if method == "HEAD" else _error("NoSuchKey"))
            return
        state = path.stat()
        if _changed(state, headers):
            await self._send(writer, 412, {}, _error("PreconditionFailed"))
            return
        start, stop, status = 0, state.st_size, 200
        about = {
            "ETag": _etag(state),
            "Last-Modified": email.utils.formatdate(state.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if asked := headers.get("range", "").removeprefix("bytes="):
            first, _, last = asked.partition("-")
            start = int(first) if first else max(0, state.st_size - int(last))
            stop = min(stop, int(last) + 1) if first and last else stop
            status = 206
            about["Content-Range"] = f"bytes {start}-{stop - 1}/{state.st_size}"
            if start >= state.st_size:
                about["Content-Range"] = f"bytes */{state.st_size}"
                await self._send(writer, 416, about, _error("InvalidRange"))
                return
        writer.write(_head(status, about, stop - start))
        if method == "HEAD":
            return
        own, loop = _Link(REQUEST_RATE), asyncio.get_running_loop()
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while start < stop:
                piece = file.read(min(PIECE, stop - start))
                start += len(piece)
                now = loop.time()
                wait = max(own.book(len(piece), now), self._link.book(len(piece), now)) - now
                if wait > 0.002:
                    await asyncio.sleep(wait)
                writer.write(piece)
                self._bytes += len(piece)
                await writer.drain()

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, about: dict[str, str], body: bytes
    ) -> None:
        writer.write(_head(status, {"Content-Type": "application/xml", **about}, len(body)) + body)
        self._bytes += len(body)
        await writer.drain()

    def _list(self, query: dict[str, list[str]]) -> bytes:
        """One page of ListObjectsV2; the token to continue is the last key."""
        asked = {name: values[0] for name, values in query.items()}
        prefix, after = asked.get("prefix", ""), asked.get("continuation-token", "")
        delimiter = asked.get("delimiter", "")
        # An S3 prefix need not end where a folder does: list the folder that holds all matches.
        files = (self._folder / prefix.rpartition("/")[0]).rglob("*")
        keys = sorted(str(file.relative_to(self._folder)) for file in files if file.is_file())
        keys = [key for key in keys if key.startswith(prefix)]
        folders = {}
        if delimiter:
            cut = {key: key[len(prefix) :].partition(delimiter) for key in keys}
            folders = {prefix + part[0] + delimiter: None for part in cut.values() if part[1]}
            keys = [key for key in keys if not cut[key][1]]
        keys = [key for key in keys if key > after]
        page = keys[:PAGE]
        parts = [
            f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>{PAGE}</MaxKeys>",
            f"<KeyCount>{len(page)}</KeyCount>",
            f"<IsTruncated>{'true' if len(page) < len(keys) else 'false'}</IsTruncated>",
        ]
        if len(page) < len(keys):
            parts.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        for key in page:
            state = (self._folder / key).stat()
            changed = email.utils.parsedate_to_datetime(email.utils.formatdate(state.st_mtime))
            parts.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{state.st_size}</Size>"
                f"<LastModified>{changed:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
                f"<ETag>{escape(_etag(state))}</ETag><StorageClass>STANDARD</StorageClass>"
                "</Contents>"
            )
        for name in folders if not after else ():
            parts.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return f'<ListBucketResult xmlns="{space}">{"".join(parts)}</ListBucketResult>'.encode()


def _changed(state: os.stat_result, headers: dict[str, str]) -> bool:
    """Whether an object is another than the one that the request means."""
    if (wanted := headers.get("if-match")) is not None:
        return wanted not in ("*", _etag(state))
    since = headers.get("if-unmodified-since")
    return (
        since is not None
        and int(state.st_mtime) > email.utils.parsedate_to_datetime(since).timestamp()
    )


def _etag(state: os.stat_result) -> str:
    return f'"{state.st_mtime_ns:x}-{state.st_size:x}"'


def _head(status: int, headers: dict[str, str], length: int) -> bytes:
    # Clients read the number; nobody reads the phrase behind it.
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1")


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


async def _run(folder: Path, delay: float) -> None:
    server = await asyncio.start_server(
        _Server(folder, delay).answer, "127.0.0.1", 0, backlog=1024, limit=2**20
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: os.read(0, 1) or ended.set())
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay", type=float, default=DELAY, help="seconds a request")
    options = parser.parse_args()
    asyncio.run(_run(options.folder, options.delay))


if __name__ == "__main__":
    main()

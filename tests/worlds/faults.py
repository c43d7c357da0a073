"""What goes wrong on the way: faults that the proxy puts between a block and the emulators.

Error bodies have the shapes that AWS documents: moto neither throttles nor expires tokens, and
checks no clocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from mitmproxy import http


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int
    scheme: str = "http"


Action = Callable[[http.HTTPFlow], Awaitable[Address | None] | None]
"""Answers or ends the request, or leads it to another server."""


@dataclass
class Fault:
    """Applies ``before`` the request is routed, or ``after`` the emulator answered.

    ``times`` is how often; None means for ever. ``matches`` limits it to some requests, by default
    those for source files.
    """

    before: Action | None = None
    after: Action | None = None
    times: int | None = None
    matches: Callable[[http.Request], bool] = lambda request: ".nc" in request.path

    def takes(self, request: http.Request) -> bool:
        """Whether this request is hit; counts down."""
        if self.times == 0 or not self.matches(request):
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _s3_error(status: int, code: str, message: str, **headers: str) -> Action:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>{message}</Message><RequestId>0</RequestId><HostId>0</HostId></Error>"
    )

    def answer(flow: http.HTTPFlow) -> None:
        content = b"" if flow.request.method == "HEAD" else body.encode()
        flow.response = http.Response.make(status, content, {"Content-Type": "application/xml"})

    return answer


def _reset(flow: http.HTTPFlow) -> None:
    flow.kill()


async def _stall_body(flow: http.HTTPFlow) -> Address:
    """Lead the request to a server that sends half of what it announces, then nothing more."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # 1,000 bytes announced whatever was asked for: the client gives up before it counts them.
        head = "HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
        head += 'Content-Range: bytes 0-999/1000\r\nETag: "0"\r\n'
        head += "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n"
        writer.write(head.encode() + bytes(500))
        await writer.drain()
        await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    asyncio.get_running_loop().call_later(60, server.close)
    return Address(*server.sockets[0].getsockname()[:2])


async def _stall(flow: http.HTTPFlow) -> None:
    await asyncio.sleep(30)


def _cut(flow: http.HTTPFlow) -> None:
    """Announce the whole body, send half of it, then close the connection."""
    response = flow.response
    if response is None or flow.request.method != "GET" or not response.raw_content:
        return
    size = len(response.raw_content)
    response.raw_content = response.raw_content[: size // 2]
    response.headers["Content-Length"] = str(size)
    response.headers["Connection"] = "close"


def _is_conditional_put(request: http.Request) -> bool:
    return request.method == "PUT" and bool({"if-match", "if-none-match"} & set(request.headers))


def _is_not_paid_for(request: http.Request) -> bool:
    return ".nc" in request.path and request.headers.get("x-amz-request-payer") != "requester"


_SLOW_DOWN = _s3_error(503, "SlowDown", "Please reduce your request rate.")
_SKEWED = "The difference between the request time and the current time is too large."
_NOT_IMPLEMENTED = "A header you provided implies functionality that is not implemented."
_MALFORMED = "The authorization header is malformed; the region is wrong; expecting 'us-west-2'"

FAULTS: dict[str, Callable[[], Fault]] = {
    "slow-down-twice": lambda: Fault(before=_SLOW_DOWN, times=2),
    "slow-down": lambda: Fault(before=_SLOW_DOWN),
    "internal-error": lambda: Fault(before=_s3_error(500, "InternalError", "We encountered one.")),
    "expired-token": lambda: Fault(
        before=_s3_error(400, "ExpiredToken", "The provided token has expired.")
    ),
    "clock-skew": lambda: Fault(before=_s3_error(403, "RequestTimeTooSkewed", _SKEWED)),
    "malformed-region": lambda: Fault(
        before=_s3_error(400, "AuthorizationHeaderMalformed", _MALFORMED)
    ),
    "reset-once": lambda: Fault(before=_reset, times=1),
    "reset": lambda: Fault(before=_reset),
    "stalled-headers": lambda: Fault(before=_stall),
    "stalled-body": lambda: Fault(before=_stall_body),
    "cut-body": lambda: Fault(after=_cut),
    # Not faults of a moment but of a kind of server or bucket.
    "no-conditional-writes": lambda: Fault(
        before=_s3_error(501, "NotImplemented", _NOT_IMPLEMENTED), matches=_is_conditional_put
    ),
    "requester-pays": lambda: Fault(
        before=_s3_error(403, "AccessDenied", "Access Denied"), matches=_is_not_paid_for
    ),
}
"""Name of each fault, and what makes a fresh one."""

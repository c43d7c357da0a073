"""Objects in memory, and the HTTP rules by which they are read: ranges, validators, preconditions.

Shared by our fakes of Google Cloud Storage and of an HTTPS server. They answer inside the proxy
and model the server side only; the clients are the real ones.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import re
import time
from dataclasses import dataclass, field

from mitmproxy import http


@dataclass
class StoredObject:
    """One object. ``modified`` in seconds since 1970; ``generation`` grows with every write."""

    data: bytes
    modified: float = field(default_factory=time.time)
    generation: int = 1
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"'

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.data).digest()).decode()

    @property
    def validators(self) -> dict[str, str]:
        return {
            "ETag": self.etag,
            "Last-Modified": email.utils.formatdate(self.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }


def read_object(stored: StoredObject, request: http.Request) -> http.Response:
    """Answer GET or HEAD: 200, 206, 304, 412 or 416, as RFC 9110 says."""
    headers = {"Content-Type": stored.content_type, **stored.validators}
    if _precondition_fails(stored, request):
        return make_response(request, 412, headers=headers)
    if _etags(request.headers.get("If-None-Match")) & {"*", stored.etag}:
        return make_response(request, 304, headers=headers)
    size = len(stored.data)
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if asked is None:
        return make_response(request, 200, stored.data, headers)
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size:
        return make_response(request, 416, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return make_response(request, 206, stored.data[start:stop], headers)


def make_response(
    request: http.Request,
    status: int,
    body: bytes | str = b"",
    headers: dict[str, str] | None = None,
) -> http.Response:
    """A response; to HEAD without a body, but with the length that GET would have."""
    data = body.encode() if isinstance(body, str) else body
    response = http.Response.make(status, b"" if request.method == "HEAD" else data, headers or {})
    response.headers["Content-Length"] = str(len(data))
    return response


def _precondition_fails(stored: StoredObject, request: http.Request) -> bool:
    wanted = _etags(request.headers.get("If-Match"))
    if wanted:
        return not wanted & {"*", stored.etag}
    unmodified = request.headers.get("If-Unmodified-Since")
    if unmodified is None:
        return False
    return int(stored.modified) > email.utils.parsedate_to_datetime(unmodified).timestamp()


def _etags(header: str | None) -> set[str]:
    return {part.strip() for part in (header or "").split(",") if part.strip()}

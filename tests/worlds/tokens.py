"""Fakes of services that give credentials for an hour: Earthdata Login, the Planetary Computer.

They stand before the emulators of S3 and Azure, and see to it that what they gave opens their
archive and nothing else.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from mitmproxy import http
from moto import settings

from worlds.azure import ACCOUNT, ARCHIVE_CONTAINER, Azure
from worlds.objects import make_response
from worlds.proxy import NoRoute
from worlds.s3 import S3

EARTHDATA_HOST = "archive.podaac.earthdata.nasa.gov"
LOGIN_HOST = "urs.earthdata.nasa.gov"
PROTECTED_BUCKET = "podaac-ops-cumulus-protected"
TOKEN, USER, PASSWORD = "token-of-earthdata", "ada", "password-of-earthdata"
SIGNATURES_HOST = "planetarycomputer.microsoft.com"


class Service:
    """``issued`` are marks of what was given, ``revoked`` of what is good no more.

    ``life`` is what it announces. ``misused`` lists requests to other places with what it gave.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.life = timedelta(hours=1)
        self.issued: list[str] = []
        self.revoked: set[str] = set()
        self.misused: list[str] = []
        self.is_down = False

    def revoke(self) -> None:
        """Let what was given until now expire."""
        self.revoked |= {*self.issued}

    def judge(self, request: http.Request, mark: str | None, is_own: bool) -> int | None:
        """The status with which a request to an archive is refused; None if it may pass."""
        if not is_own:
            if mark in self.issued:
                self.misused.append(request.pretty_url)
            return None
        if mark not in self.issued:
            return 403
        return 400 if mark in self.revoked else None


class Earthdata(Service):
    """A bucket of NASA whose keys are given to a token, or to a user's name and password."""

    def __init__(self, s3: S3, samples: Path) -> None:
        super().__init__()
        self._s3 = s3
        self._samples = samples

    def fill(self) -> None:
        """Put the files into the bucket, after the emulator was reset."""
        settings.INITIAL_NO_AUTH_ACTION_COUNT, before = float("inf"), 0
        client = self._s3.client("s3")
        place = {"CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
        client.create_bucket(Bucket=PROTECTED_BUCKET, **place)
        for path in sorted((self._samples / "era5").glob("*.nc")):
            client.put_object(
                Bucket=PROTECTED_BUCKET, Key=f"ERA5/{path.name}", Body=path.read_bytes()
            )
        settings.INITIAL_NO_AUTH_ACTION_COUNT = before

    def route(self, flow: http.HTTPFlow) -> None:
        """Answer for the login and the keys, refuse wrong ones; raise ``NoRoute`` for others."""
        request = flow.request
        host, path = request.pretty_host, request.path.partition("?")[0]
        if host == EARTHDATA_HOST and path == "/s3credentials":
            flow.response = self._keys(request)
        elif host == EARTHDATA_HOST and path == "/redirect":
            headers = {"Location": "/s3credentials", "Set-Cookie": "accessToken=session; Path=/"}
            flow.response = make_response(request, 307, headers=headers)
        elif host == LOGIN_HOST and path == "/oauth/authorize":
            flow.response = self._login(request)
        elif host.endswith(".amazonaws.com"):
            is_own = PROTECTED_BUCKET in (host.partition(".")[0], path.split("/")[1])
            status = self.judge(request, request.headers.get("X-Amz-Security-Token"), is_own)
            if status is None:
                raise NoRoute(host)
            code = "AccessDenied" if status == 403 else "ExpiredToken"
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
            flow.response = make_response(request, status, body)
        else:
            raise NoRoute(host)

    def _keys(self, request: http.Request) -> http.Response:
        if self.is_down:
            return make_response(request, 503)
        has_token = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not has_token and "accessToken=session" not in request.headers.get("Cookie", ""):
            where = f"https://{LOGIN_HOST}/oauth/authorize?client_id=podaac&response_type=code"
            return make_response(request, 307, headers={"Location": where})
        keys = self._s3.assume_role()
        self.issued.append(keys["Token"])
        given = {
            "accessKeyId": keys["AccessKeyId"],
            "secretAccessKey": keys["SecretAccessKey"],
            "sessionToken": keys["Token"],
            "expiration": str((datetime.now(UTC) + self.life).replace(microsecond=0)),
        }
        return make_response(request, 200, json.dumps(given))

    def _login(self, request: http.Request) -> http.Response:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {login}":
            return make_response(request, 401, "HTTP Basic: Access denied.")
        where = f"https://{EARTHDATA_HOST}/redirect?code=1&state=%2Fs3credentials"
        return make_response(request, 302, headers={"Location": where})


class PlanetaryComputer(Service):
    """A container of Azure whose signatures are given to anyone."""

    def __init__(self, azure: Azure) -> None:
        super().__init__()
        self._azure = azure

    def route(self, flow: http.HTTPFlow) -> None:
        """Answer for signatures, refuse wrong ones; raise ``NoRoute`` for other hosts."""
        request = flow.request
        host, path = request.pretty_host, request.path.partition("?")[0]
        if host == SIGNATURES_HOST:
            flow.response = self._signature(request, path)
        elif host == f"{ACCOUNT}.blob.core.windows.net":
            is_own = path.split("/")[1] == ARCHIVE_CONTAINER
            mark = parse_qs(request.path.partition("?")[2]).get("sig", [None])[0]
            if self.judge(request, mark, is_own) is None:
                raise NoRoute(host)
            code = "AuthenticationFailed"
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
            flow.response = make_response(request, 403, body)
        else:
            raise NoRoute(host)

    def _signature(self, request: http.Request, path: str) -> http.Response:
        if self.is_down:
            return make_response(request, 503)
        if path != f"/api/sas/v1/token/{ACCOUNT}/{ARCHIVE_CONTAINER}":
            return make_response(request, 404, json.dumps({"detail": "not found"}))
        # Never two alike, so that each can be revoked by itself.
        valid = timedelta(hours=1, seconds=len(self.issued))
        token = self._azure.shared_access_signature("rl", valid)
        self.issued.append(parse_qs(token)["sig"][0])
        expiry = (datetime.now(UTC) + self.life).strftime("%Y-%m-%dT%H:%M:%SZ")
        return make_response(request, 200, json.dumps({"msft:expiry": expiry, "token": token}))

"""Azure Blob Storage: Microsoft's emulator Azurite, and a fake of the endpoints that give tokens.

Azurite comes from npm and runs on the node of a Python wheel. It is installed once into the user's
cache. Tokens are unsigned: Azurite checks their claims, not their signature, and knows no roles.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import obstore
import trustme
from harness import npm
from mitmproxy import http
from obstore.store import AzureStore

from worlds import samples
from worlds.objects import make_response
from worlds.proxy import Address, NoRoute

VERSION = "3.37.0"
PUBLIC_ACCOUNT, PUBLIC_CONTAINER = "goeseuwest", "noaa-goes16"
ACCOUNT, ARCHIVE_CONTAINER, STORES_CONTAINER = "acmeclimate", "archive", "stores"
KEY = base64.b64encode(b"not a secret, the key of an emulated account").decode()
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT_ID, CLIENT_SECRET = "22222222-2222-2222-2222-222222222222", "client-secret"
GOES_PREFIX = "ABI-L2-CMIPF/2024/001"

_STORAGE_HOSTS = (".blob.core.windows.net", ".dfs.core.windows.net")


def install() -> Path:
    """Path of Azurite's program. Without Azurite the suite fails, it does not skip."""
    return npm.install("azurite", VERSION) / "dist" / "src" / "blob" / "main.js"


class Azure:
    """Two accounts: a public container, an archive, and stores to write to."""

    def __init__(self, sample_folder: Path, folder: Path) -> None:
        self._samples = sample_folder
        self.token_requests: list[str] = []
        self.metadata_reachable = False
        certificate = trustme.CA().issue_cert("127.0.0.1")
        key, chain = folder / "azurite.key", folder / "azurite.crt"
        certificate.private_key_pem.write_to_path(key)
        certificate.cert_chain_pems[0].write_to_path(chain)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--silent"]
        # Tokens are only taken over TLS.
        tls = ["--oauth", "basic", "--cert", str(chain), "--key", str(key)]
        other = ["--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"]
        accounts = f"{PUBLIC_ACCOUNT}:{KEY};{ACCOUNT}:{KEY}"
        self._process = subprocess.Popen(
            [str(npm.NODE), str(install()), *options, *tls, *other],
            env={**npm.ENVIRONMENT, "AZURITE_ACCOUNTS": accounts},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_listens()
        self._create_container(PUBLIC_ACCOUNT, PUBLIC_CONTAINER, public=True)
        for container in (ARCHIVE_CONTAINER, STORES_CONTAINER):
            self._create_container(ACCOUNT, container)

    def stop(self) -> None:
        self._process.kill()  # it keeps nothing: its blobs are in memory
        self._process.wait(30)

    def reset(self) -> None:
        """Give the containers their first state."""
        self.token_requests.clear()
        self.metadata_reachable = False
        public = self._store(PUBLIC_ACCOUNT, PUBLIC_CONTAINER)
        for hour in samples.GOES_HOURS:
            name = samples.goes_name(hour)
            data = (self._samples / "goes" / name).read_bytes()
            obstore.put(public, f"{GOES_PREFIX}/{hour:02d}/{name}", data)
        archive = self._store(ACCOUNT, ARCHIVE_CONTAINER)
        for path in sorted((self._samples / "era5").glob("*.nc")):
            obstore.put(archive, f"era5/{path.name}", path.read_bytes())
        stores = self._store(ACCOUNT, STORES_CONTAINER)
        for entry in obstore.list(stores).collect():
            obstore.delete(stores, entry["path"])

    def shared_access_signature(
        self, permissions: str = "rwdlac", life: timedelta = timedelta(hours=1)
    ) -> str:
        """A SAS token for the account's blobs, good for so long."""
        expiry = (datetime.now(UTC) + life).strftime("%Y-%m-%dT%H:%M:%SZ")
        version = "2022-11-02"
        signed = [ACCOUNT, permissions, "b", "sco", "", expiry, "", "https", version, "", ""]
        digest = hmac.new(base64.b64decode(KEY), "\n".join(signed).encode(), hashlib.sha256)
        query = {
            **{"sv": version, "ss": "b", "srt": "sco", "sp": permissions, "se": expiry},
            **{"spr": "https", "sig": base64.b64encode(digest.digest()).decode()},
        }
        return urlencode(query)

    def route(self, flow: http.HTTPFlow) -> Address | None:
        """Route storage to Azurite, answer for tokens; raise ``NoRoute`` for other hosts."""
        request = flow.request
        host = request.pretty_host
        if host.endswith(_STORAGE_HOSTS):
            return Address("127.0.0.1", self.port, "https")
        if host == "login.microsoftonline.com":
            flow.response = self._client_token(request)
            return None
        if host == "169.254.169.254" and request.path.startswith("/metadata/identity/"):
            if self.metadata_reachable:
                flow.response = self._identity_token(request)
            else:
                flow.kill()
            return None
        raise NoRoute(host)

    def _client_token(self, request: http.Request) -> http.Response:
        asked = parse_qs(request.get_text())
        if asked.get("client_secret") != [CLIENT_SECRET]:
            error = "AADSTS7000215: Invalid client secret provided."
            body = json.dumps({"error": "invalid_client", "error_description": error})
            return make_response(request, 401, body)
        self.token_requests.append("client")
        token = {"token_type": "Bearer", "expires_in": 3599, "access_token": _token()}
        return make_response(request, 200, json.dumps(token))

    def _identity_token(self, request: http.Request) -> http.Response:
        if request.headers.get("Metadata", "").lower() != "true":
            return make_response(request, 400)
        self.token_requests.append("identity")
        expiry = str(int(time.time()) + 3599)
        token = {"token_type": "Bearer", "expires_on": expiry, "expires_in": "3599"}
        return make_response(request, 200, json.dumps({**token, "access_token": _token()}))

    def _store(self, account: str, container: str) -> AzureStore:
        return AzureStore(
            container,
            account_name=account,
            account_key=KEY,
            endpoint=f"https://127.0.0.1:{self.port}/{account}",
            client_options={"allow_invalid_certificates": True},
        )

    def _create_container(self, account: str, container: str, public: bool = False) -> None:
        headers = {"Authorization": f"Bearer {_token()}", "x-ms-version": "2021-08-06"}
        if public:
            headers["x-ms-blob-public-access"] = "container"
        url = f"https://127.0.0.1:{self.port}/{account}/{container}?restype=container"
        request = urllib.request.Request(url, method="PUT", headers=headers, data=b"")
        context = ssl._create_unverified_context()
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=10) as response:
            assert response.status == 201

    def _wait_until_it_listens(self) -> None:
        for _ in range(1200):
            if self._process.poll() is not None:
                raise RuntimeError(f"Azurite ended with status {self._process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("Azurite did not start within 60 s")


def _token() -> str:
    now = int(time.time())
    issuer = f"https://sts.windows.net/{TENANT}/"
    claims = {"aud": "https://storage.azure.com", "iss": issuer, "tid": TENANT, "oid": TENANT}
    times = {"iat": now - 60, "nbf": now - 60, "exp": now + 3600, "ver": "1.0"}
    parts = [{"typ": "JWT", "alg": "RS256"}, claims | times]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, b"c2ln"]).decode()

"""A fake of Google Cloud Storage: the part of its XML API that obstore and Icechunk use.

Objects with generations and conditional writes, listing, multipart upload, copy; OAuth for service
accounts (RS256 signatures checked), refresh tokens and the metadata server. Written from what the
clients send; never compared with Google's service.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from mitmproxy import http

from worlds import samples
from worlds.objects import StoredObject, make_response, read_object
from worlds.proxy import NoRoute

PUBLIC_BUCKET = "gcp-public-data-goes-16"
ARCHIVE_BUCKET = "acme-climate-archive"
STORES_BUCKET = "acme-virtual-stores"
GOES_PREFIX = "ABI-L2-CMIPF/2024/001"
EMAIL = "writer@acme-climate.iam.gserviceaccount.com"
REFRESH_TOKEN = "refresh-token"

_STORAGE_HOST = "storage.googleapis.com"
_TOKEN_HOSTS = ("oauth2.googleapis.com", "accounts.google.com")
_METADATA_HOSTS = ("169.254.169.254", "metadata.google.internal", "metadata")


class GCS:
    """Three buckets, as on S3: one public, an archive to read, stores to read and write."""

    def __init__(self, sample_folder: Path) -> None:
        self._samples = sample_folder
        self._key = RSAKey.generate_key(2048, private=True)
        self.reset()

    def reset(self) -> None:
        """Give buckets and tokens their first state; the service account keeps its key."""
        self.metadata_reachable = False
        self.token_requests: list[str] = []
        self._generation = int(time.time() * 1e6)
        self._expiry: dict[str, float] = {}
        self._uploads: dict[str, dict[int, bytes]] = {}
        self.buckets: dict[str, dict[str, StoredObject]] = {STORES_BUCKET: {}}
        self.buckets[PUBLIC_BUCKET] = {
            f"{GOES_PREFIX}/{hour:02d}/{samples.goes_name(hour)}": self._stored(path)
            for hour in samples.GOES_HOURS
            for path in [self._samples / "goes" / samples.goes_name(hour)]
        }
        self.buckets[ARCHIVE_BUCKET] = {
            f"era5/{path.name}": self._stored(path)
            for path in sorted((self._samples / "era5").glob("*.nc"))
        }

    @staticmethod
    def _stored(path: Path) -> StoredObject:
        return StoredObject(path.read_bytes(), path.stat().st_mtime)

    def service_account(self, known: bool = True) -> str:
        """A service account's key file, as JSON; with a key of no account if not ``known``."""
        key = self._key if known else RSAKey.generate_key(2048)
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "acme-climate",
                "private_key_id": "key-1",
                "private_key": key.as_pem(private=True).decode(),
                "client_email": EMAIL,
                "client_id": "1",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )

    @staticmethod
    def user_credentials() -> str:
        """What ``gcloud auth application-default login`` leaves, as JSON."""
        return json.dumps(
            {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "secret",
                "refresh_token": REFRESH_TOKEN,
            }
        )

    def route(self, flow: http.HTTPFlow) -> None:
        """Answer requests to Google's hosts; raise ``NoRoute`` for others."""
        host = flow.request.pretty_host
        if host in _METADATA_HOSTS and flow.request.path.startswith("/computeMetadata/"):
            if self.metadata_reachable:
                flow.response = self._metadata(flow.request)
            else:
                flow.kill()
        elif host in _TOKEN_HOSTS:
            flow.response = self._token(flow.request)
        elif host == _STORAGE_HOST:
            flow.response = self._storage(flow.request)
        else:
            raise NoRoute(host)

    def _new_token(self, how: str) -> dict[str, object]:
        token = f"{how}-{uuid.uuid4().hex}"
        self._expiry[token] = time.time() + 3600
        self.token_requests.append(how)
        return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

    def _metadata(self, request: http.Request) -> http.Response:
        flavor = {"Metadata-Flavor": "Google"}
        if request.headers.get("Metadata-Flavor") != "Google":
            return make_response(request, 403)
        if request.path.partition("?")[0].endswith("/token"):
            return make_response(request, 200, json.dumps(self._new_token("metadata")), flavor)
        return make_response(request, 200, EMAIL, flavor)

    def _token(self, request: http.Request) -> http.Response:
        asked = parse_qs(request.get_text())
        if asked.get("refresh_token") != [REFRESH_TOKEN]:
            error = {"error": "invalid_grant", "error_description": "Bad Request"}
            return make_response(request, 400, json.dumps(error))
        return make_response(request, 200, json.dumps(self._new_token("user")))

    def _authorized(self, token: str) -> bool:
        if token in self._expiry:
            return self._expiry[token] > time.time()
        try:
            # Service accounts sign their own token, without asking for one.
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return False
        return claims["iss"] == EMAIL and claims["exp"] > time.time()

    def _storage(self, request: http.Request) -> http.Response:
        url = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(url.query, True).items()}
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        writes = request.method not in ("GET", "HEAD")
        header = request.headers.get("Authorization")
        if header is None and (writes or bucket != PUBLIC_BUCKET):
            what = f"Anonymous caller does not have storage.objects.{'create' if writes else 'get'}"
            details = f"{what} access to the Google Cloud Storage object."
            return _error(request, 403, "AccessDenied", "Access denied.", details)
        if header is not None and not self._authorized(header.removeprefix("Bearer ").strip()):
            return _error(request, 401, "AuthenticationRequired", "Authentication required.")
        objects = self.buckets.get(bucket)
        if objects is None:
            return _error(request, 404, "NoSuchBucket", "The specified bucket does not exist.")
        if writes and bucket != STORES_BUCKET:
            details = f"{EMAIL} does not have storage.objects.create access."
            return _error(request, 403, "AccessDenied", "Access denied.", details)
        if not writes and not key:
            return _listing(request, bucket, objects, query)
        if not writes or request.method == "DELETE":
            return self._read_or_delete(request, objects, bucket, key, query)
        return self._write(request, objects, bucket, key, query)

    def _read_or_delete(
        self,
        request: http.Request,
        objects: dict[str, StoredObject],
        bucket: str,
        key: str,
        query: dict[str, str],
    ) -> http.Response:
        if "uploadId" in query:
            self._uploads.pop(query["uploadId"], None)
            return http.Response.make(204)
        stored = objects.get(key)
        if stored is None:
            message = "The specified key does not exist."
            return _error(request, 404, "NoSuchKey", message, f"No such object: {bucket}/{key}")
        if not _generation_matches(request, stored):
            return _precondition_failed(request)
        if request.method == "DELETE":
            del objects[key]
            return http.Response.make(204)
        response = read_object(stored, request)
        for name, value in _headers(stored).items():
            response.headers[name] = value
        return response

    def _write(
        self,
        request: http.Request,
        objects: dict[str, StoredObject],
        bucket: str,
        key: str,
        query: dict[str, str],
    ) -> http.Response:
        if "uploads" in query:
            upload = uuid.uuid4().hex
            self._uploads[upload] = {}
            body = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            return _xml(request, "InitiateMultipartUploadResult", body)
        if "partNumber" in query:
            part = StoredObject(request.raw_content)
            self._uploads[query["uploadId"]][int(query["partNumber"])] = part.data
            return make_response(request, 200, headers={"ETag": part.etag})
        if not _generation_matches(request, objects.get(key)):
            return _precondition_failed(request)
        copied = unquote(request.headers.get("x-goog-copy-source", "")).lstrip("/")
        if "uploadId" in query:
            parts = self._uploads.pop(query["uploadId"])
            data = b"".join(parts[number] for number in sorted(parts))
        elif copied:
            source_bucket, _, source_key = copied.partition("/")
            data = self.buckets[source_bucket][source_key].data
        else:
            data = request.raw_content
        self._generation += 1
        prefix = "x-goog-meta-"
        metadata = {
            name.lower().removeprefix(prefix): value
            for name, value in request.headers.items()
            if name.lower().startswith(prefix)
        }
        content_type = request.headers.get("Content-Type", "application/octet-stream")
        stored = StoredObject(data, time.time(), self._generation, content_type, metadata)
        objects[key] = stored
        if "uploadId" in query:
            body = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>{stored.etag}</ETag>"
            response = _xml(request, "CompleteMultipartUploadResult", body)
        elif copied:
            body = f"<ETag>{stored.etag}</ETag><LastModified>{_time(stored)}</LastModified>"
            response = _xml(request, "CopyObjectResult", body)
        else:
            response = make_response(request, 200)
        response.headers["ETag"] = stored.etag
        for name, value in _headers(stored).items():
            response.headers[name] = value
        return response


def _generation_matches(request: http.Request, stored: StoredObject | None) -> bool:
    wanted = request.headers.get("x-goog-if-generation-match")
    return wanted is None or int(wanted) == (stored.generation if stored else 0)


def _headers(stored: StoredObject) -> dict[str, str]:
    named = {f"x-goog-meta-{name}": value for name, value in stored.metadata.items()}
    return {
        "x-goog-generation": str(stored.generation),
        "x-goog-metageneration": "1",
        "x-goog-stored-content-length": str(len(stored.data)),
        "x-goog-hash": f"md5={stored.md5}",
        **named,
    }


def _time(stored: StoredObject) -> str:
    moment = datetime.fromtimestamp(stored.modified, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _xml(request: http.Request, tag: str, body: str) -> http.Response:
    text = f"<?xml version='1.0' encoding='UTF-8'?><{tag}>{body}</{tag}>"
    return make_response(request, 200, text, {"Content-Type": "application/xml"})


def _error(
    request: http.Request, status: int, code: str, message: str, details: str = ""
) -> http.Response:
    more = f"<Details>{escape(details)}</Details>" if details else ""
    body = f"<Code>{code}</Code><Message>{message}</Message>{more}"
    response = _xml(request, "Error", body)
    response.status_code = status
    return response


def _precondition_failed(request: http.Request) -> http.Response:
    message = "At least one of the pre-conditions you specified did not hold."
    return _error(request, 412, "PreconditionFailed", message)


def _listing(
    request: http.Request, bucket: str, objects: dict[str, StoredObject], query: dict[str, str]
) -> http.Response:
    """One page of keys and common prefixes, in order; the token is the last key of the page."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = max(query.get("continuation-token", ""), query.get("start-after", ""))
    limit = int(query.get("max-keys", 1000))
    keys: list[str] = []
    folders: list[str] = []
    following = ""
    last = ""
    for key in sorted(objects):
        if not key.startswith(prefix) or key <= after:
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        folder = key[: cut + len(delimiter)] if cut >= 0 else ""
        if folder and folder in folders:
            last = key
            continue
        if len(keys) + len(folders) >= limit:
            following = last
            break
        (folders if folder else keys).append(folder or key)
        last = key
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Generation>{objects[key].generation}</Generation>"
        f"<MetaGeneration>1</MetaGeneration><LastModified>{_time(objects[key])}</LastModified>"
        f"<ETag>{objects[key].etag}</ETag><Size>{len(objects[key].data)}</Size></Contents>"
        for key in keys
    )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders
    )
    token = f"<NextContinuationToken>{escape(following)}</NextContinuationToken>"
    body = (
        f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
        f"<IsTruncated>{str(bool(following)).lower()}</IsTruncated>{token if following else ''}"
        f"<KeyCount>{len(keys) + len(folders)}</KeyCount>{contents}{prefixes}"
    )
    return _xml(request, "ListBucketResult", body)

"""An S3 emulator (moto) in which IAM, signatures, bucket policies and regions are enforced."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import boto3
from mitmproxy import http
from moto import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import ActionAuthenticatorMixin
from moto.iam.access_control import PermissionResult, S3IAMRequest
from moto.s3.exceptions import BucketAccessDeniedError, S3AccessDeniedError
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from worlds import COMPATIBLE_HOST, metadata, samples
from worlds.proxy import Address, NoRoute

PUBLIC_BUCKET = "noaa-goes16"
ARCHIVE_BUCKET = "acme-climate-archive"
STORES_BUCKET = "acme-virtual-stores"
BUCKET_REGIONS = {
    PUBLIC_BUCKET: "us-east-1",
    ARCHIVE_BUCKET: "us-west-2",
    STORES_BUCKET: "us-west-2",
}
GOES_PREFIX = "ABI-L2-CMIPF/2024/001"

_S3_HOST = re.compile(
    r"^(?:(?P<bucket>[a-z0-9.-]+)\.)?s3(?:[.-](?P<region>[a-z]+-[a-z]+-\d))?\.amazonaws\.com$"
)
_STS_HOST = re.compile(r"^sts(\.[a-z]+-[a-z]+-\d)?\.amazonaws\.com$")
_METADATA_HOST = "169.254.169.254"


class S3:
    """moto's server with three buckets, a user and a role. ``reset`` gives the first state back."""

    def __init__(self, sample_folder: Path) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        _answer_unsigned_requests_as_aws_does()
        self._samples = sample_folder
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self.address = self._server.get_host_and_port()
        self.role = metadata.RoleEndpoint(self.assume_role)
        self.metadata_reachable = False

    def stop(self) -> None:
        self.role.stop()
        self._server.stop()

    def client(self, service: str):
        """A boto3 client on the emulator, with the rights of the account's root."""
        return boto3.client(
            service,
            endpoint_url="http://{}:{}".format(*self.address),
            region_name="us-east-1",
            aws_access_key_id="root",
            aws_secret_access_key="root",
        )

    def fill(self, sample_folder: Path) -> None:
        """``reset`` with the objects of other samples, this once."""
        usual, self._samples = self._samples, sample_folder
        self.reset()
        self._samples = usual

    def reset(self) -> None:
        """Give buckets, objects, user and role their first state."""
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        iam = self.client("iam")
        if not getattr(self, "user_keys", None):
            self._create_principals(iam)
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        backend.reset()
        s3 = self.client("s3")
        for bucket, region in BUCKET_REGIONS.items():
            location = {"CreateBucketConfiguration": {"LocationConstraint": region}}
            s3.create_bucket(Bucket=bucket, **(location if region != "us-east-1" else {}))
        s3.put_bucket_policy(Bucket=PUBLIC_BUCKET, Policy=_policy(_PUBLIC_READ))
        for hour in samples.GOES_HOURS:
            name = samples.goes_name(hour)
            key = f"{GOES_PREFIX}/{hour:02d}/{name}"
            s3.put_object(
                Bucket=PUBLIC_BUCKET, Key=key, Body=(self._samples / "goes" / name).read_bytes()
            )
        for path in sorted((self._samples / "era5").glob("*.nc")):
            s3.put_object(Bucket=ARCHIVE_BUCKET, Key=f"era5/{path.name}", Body=path.read_bytes())
        self.role.requests.clear()
        self.metadata_reachable = False
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        ActionAuthenticatorMixin.request_count = 0

    def _create_principals(self, iam) -> None:
        iam.create_user(UserName="engineer")
        iam.put_user_policy(
            UserName="engineer", PolicyName="stores", PolicyDocument=_policy(*_ENGINEER)
        )
        key = iam.create_access_key(UserName="engineer")["AccessKey"]
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(
            RoleName=metadata.ROLE_NAME, AssumeRolePolicyDocument=_policy(trust)
        )["Role"]
        iam.put_role_policy(
            RoleName=metadata.ROLE_NAME, PolicyName="stores", PolicyDocument=_policy(*_ENGINEER)
        )
        self.role_arn = role["Arn"]
        self.user_keys = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def assume_role(self) -> dict[str, str]:
        """Keys of the role, as the metadata service gives them."""
        sts = boto3.client(
            "sts",
            endpoint_url="http://{}:{}".format(*self.address),
            region_name="us-east-1",
            aws_access_key_id=self.user_keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.user_keys["AWS_SECRET_ACCESS_KEY"],
        )
        keys = sts.assume_role(RoleArn=self.role_arn, RoleSessionName="blocks")["Credentials"]
        return {
            "Type": "AWS-HMAC",
            "AccessKeyId": keys["AccessKeyId"],
            "SecretAccessKey": keys["SecretAccessKey"],
            "Token": keys["SessionToken"],
            "Expiration": keys["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def session_keys(self) -> dict[str, str]:
        """The variables with which Lambda gives a function its role."""
        keys = self.assume_role()
        return {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["Token"],
        }

    def route(self, flow: http.HTTPFlow) -> Address | None:
        """Route S3 and the metadata service; raise ``LookupError`` for every other host."""
        host = flow.request.pretty_host
        if host == _METADATA_HOST and flow.request.path.startswith("/latest/"):
            if self.metadata_reachable:
                return Address(*self.role.address)
            flow.kill()  # off AWS nobody answers at this address
            return None
        if _STS_HOST.match(host):
            _move_query_into_form(flow.request)
            return Address(*self.address)
        if host == COMPATIBLE_HOST:
            return Address(*self.address)
        found = _S3_HOST.match(host)
        if found is None:
            raise NoRoute(host)
        bucket = found["bucket"] or flow.request.path.lstrip("/").split("/")[0].split("?")[0]
        expected = BUCKET_REGIONS.get(bucket)
        if expected is not None and (found["region"] or "us-east-1") != expected:
            flow.response = _redirect_to_region(bucket, expected, flow.request.method)
            return None
        return Address(*self.address)


def _move_query_into_form(request: http.Request) -> None:
    """obstore sends parameters to STS in the query of a POST; moto looks for them in the body."""
    path, _, query = request.path.partition("?")
    if query and not request.raw_content:
        request.path = path
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        request.text = query


_PUBLIC_READ = {
    "Effect": "Allow",
    "Principal": "*",
    # moto asks for HeadObject by name; AWS takes GetObject for it.
    "Action": ["s3:GetObject", "s3:HeadObject", "s3:ListBucket"],
    "Resource": [f"arn:aws:s3:::{PUBLIC_BUCKET}", f"arn:aws:s3:::{PUBLIC_BUCKET}/*"],
}
_ENGINEER = (
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:HeadObject", "s3:ListBucket"],
        "Resource": "*",
    },
    {
        "Effect": "Allow",
        "Action": [
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:DeleteObjects",
            "s3:AbortMultipartUpload",
        ],
        "Resource": [f"arn:aws:s3:::{STORES_BUCKET}", f"arn:aws:s3:::{STORES_BUCKET}/*"],
    },
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"},
)


def _policy(*statements: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _redirect_to_region(bucket: str, region: str, method: str) -> http.Response:
    """AWS's answer when a bucket is addressed in the wrong region (moto has one global region)."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>PermanentRedirect</Code><Message>'
        "The bucket you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint.</Message>"
        f"<Endpoint>{bucket}.s3-{region}.amazonaws.com</Endpoint><Bucket>{bucket}</Bucket>"
        "<RequestId>0</RequestId><HostId>0</HostId></Error>"
    )
    headers = {"x-amz-bucket-region": region, "Content-Type": "application/xml"}
    return http.Response.make(301, b"" if method == "HEAD" else body, headers)


def _answer_unsigned_requests_as_aws_does() -> None:
    """Let moto judge unsigned requests by bucket policy.

    With IAM enforced, moto 5.2 answers them 500 (KeyError HTTP_AUTHORIZATION) instead.
    """
    original = ActionAuthenticatorMixin._authenticate_and_authorize_action
    if original.__name__ == "authorize":
        return

    def authorize(self, iam_request_class, resource: str = "*"):
        enforcing = ActionAuthenticatorMixin.request_count >= settings.INITIAL_NO_AUTH_ACTION_COUNT
        signed = "Authorization" in self.headers
        if enforcing and not signed and self._get_action() == "AssumeRoleWithWebIdentity":
            return None  # the token in the request is the credential
        if not enforcing or signed or iam_request_class is not S3IAMRequest:
            return original(self, iam_request_class, resource)
        name = resource.partition(":::")[2].partition("/")[0]
        bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(name)
        if bucket is None:
            if name == "*":
                raise S3AccessDeniedError
            return None  # the call itself answers NoSuchBucket
        action = self._get_action()
        action = action[0] if isinstance(action, list) else action
        if bucket.get_permission(f"s3:{action}", resource) != PermissionResult.PERMITTED:
            raise BucketAccessDeniedError(bucket=name)
        return None

    ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize

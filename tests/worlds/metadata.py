"""Endpoints that hand out a role's credentials, as EC2 (IMDSv2) and ECS or EKS do.

moto has an IMDS of its own, but its answer lacks the token's time to live, which the AWS SDK in
Icechunk requires, and its keys are unknown to moto's IAM. The keys given out here come from STS.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMDS_TOKEN = "imdsv2-token"
CONTAINER_TOKEN = "container-token"
ROLE_NAME = "virtual-zarr-writer"
_IMDS_PATH = "/latest/meta-data/iam/security-credentials"


class RoleEndpoint:
    """Serves ``credentials()`` (keys, session token, expiry) to whoever asks in AWS's way.

    ``requests`` lists the paths that were answered with credentials.
    """

    def __init__(self, credentials: Callable[[], dict[str, str]]) -> None:
        self.requests: list[str] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def reply(self, status: int, body: str = "", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def reply_credentials(self) -> None:
                endpoint.requests.append(self.path)
                self.reply(200, json.dumps({"Code": "Success", **credentials()}))

            def do_PUT(self) -> None:
                if self.path == "/latest/api/token":
                    self.reply(200, IMDS_TOKEN, X_aws_ec2_metadata_token_ttl_seconds="21600")
                else:
                    self.reply(404)

            def do_GET(self) -> None:
                path = self.path.rstrip("/")
                if path == "/container":
                    authorized = self.headers.get("Authorization") == CONTAINER_TOKEN
                    self.reply_credentials() if authorized else self.reply(401)
                elif self.headers.get("X-aws-ec2-metadata-token") != IMDS_TOKEN:
                    self.reply(401)
                elif path == _IMDS_PATH:
                    self.reply(200, ROLE_NAME)
                elif path == f"{_IMDS_PATH}/{ROLE_NAME}":
                    self.reply_credentials()
                else:
                    self.reply(404)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return self._server.server_address[:2]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

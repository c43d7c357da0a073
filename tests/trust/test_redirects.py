"""What the clients do when a server that was named answers "elsewhere": the facts of SECURITY.md.

obstore 0.12 and Icechunk 2.3 have no option for it.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from worlds.recorder import Recorder

HEADER = "made-up-header"
TOKEN = "made-up-session-token"
CLIENTS = {
    "obstore https": """
import obstore
from obstore.store import HTTPStore
options = {"default_headers": {"authorization": "made-up-header"}}
store = HTTPStore.from_url(url, client_options=options, retry_config={"max_retries": 0})
obstore.get(store, "k").bytes()
""",
    "icechunk https": """
prefix = f"{url}/"
store = icechunk.http_store(headers={"authorization": "made-up-header"})
credentials = icechunk.credentials.HttpAccess
read(prefix, store, credentials)
""",
    "obstore s3": """
import obstore
from obstore.store import S3Store
options = {"allow_http": True}
store = S3Store("b", endpoint=url, client_options=options, retry_config={"max_retries": 0})
obstore.get(store, "k").bytes()
""",
    "icechunk s3": """
place = {"endpoint_url": url, "allow_http": True, "force_path_style": True}
credentials = icechunk.Credentials.S3(icechunk.s3_credentials(from_env=True))
read("s3://b/", icechunk.s3_store(region="us-east-1", **place), credentials)
""",
}
BEGIN = """
import sys
import icechunk
import zarr
url = sys.argv[1]

def read(prefix, store, credentials):
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    once = icechunk.StorageRetriesSettings(max_tries=1)
    config.storage = icechunk.StorageSettings(retries=once)
    repo = icechunk.Repository.create(
        icechunk.in_memory_storage(),
        config=config,
        authorize_virtual_chunk_access={prefix: credentials},
    )
    session = repo.writable_session("main")
    array = zarr.open_group(session.store, mode="a").create_array(
        "v", shape=(4,), chunks=(4,), dtype="u1", compressors=None
    )
    session.store.set_virtual_ref("v/c/0", f"{prefix}k", offset=0, length=4)
    array[:]
"""


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("to", ["https", "http"])
def test_redirects(client: str, to: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        "AWS_ACCESS_KEY_ID": "AKIAMADEUP",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_REGION": "us-east-1",
    }
    named = context if client.endswith("https") else None
    with (
        Recorder(context=context if to == "https" else None) as other,
        Recorder(other.url, named) as first,
    ):
        # Leaving at once: clients may crash while the interpreter takes itself apart.
        code = f"{BEGIN}{CLIENTS[client]}\nimport os\nos._exit(0)"
        url = first.url.replace("127.0.0.1", "localhost")
        done = subprocess.run(
            [sys.executable, "-c", code, url],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    secret = HEADER if client.endswith("https") else TOKEN
    assert first.saw(secret)  # what was named gets it
    followed = client == "obstore s3" or (client.endswith("https") and to == "https")
    assert bool(other.requests) == followed, done.stderr
    assert (done.returncode == 0) == followed, done.stderr
    assert not other.saw(HEADER)
    assert not any("authorization" in request.headers for request in other.requests)
    assert other.saw(TOKEN) == (client == "obstore s3")

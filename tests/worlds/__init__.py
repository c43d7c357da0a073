"""The worlds that blocks run in: sample files, an S3 emulator, roles, the proxy between.

``WORLDS`` names them, ``entering.BUILDERS`` builds them, on servers that are fixtures.
"""

from __future__ import annotations

import os

# Read when moto is imported: a host whose paths begin with the bucket, as MinIO's do.
COMPATIBLE_HOST = "minio.example.org"
os.environ["MOTO_S3_CUSTOM_ENDPOINTS"] = f"https://{COMPATIBLE_HOST}"

NO_WORLD = "empty"
"""The world of a block that names none: an empty working directory."""
WORLDS = {
    "files": "sample files under data/",
    "formats": "a small file of every format under data/formats/",
    "irregular": "archives whose files differ, under data/irregular/",
    "s3-public": "the public bucket, no credentials anywhere",
    "s3-keys": "a user's access keys in the environment",
    "s3-ec2-role": "an EC2 instance role behind IMDSv2",
    "s3-ecs-role": "a task role behind the container credentials endpoint",
    "s3-lambda-role": "a role's session keys in the environment",
    "s3-profile": "a user's access keys in a profile of ~/.aws, named by AWS_PROFILE",
    "s3-assumed-role": "the profiles archive, with keys, and writer, which assumes a role",
    "s3-irsa": "a pod's role by web identity (IRSA)",
    "s3-compatible": "a MinIO-like server at minio.example.org, keys in MINIO_*",
    "clouds": "s3-keys, gcs-public and https at once",
    "s3-untrusted": "s3-keys behind a proxy whose CA the client does not trust",
    "s3-wrong-key": "access keys with a wrong secret",
    "gcs-public": "the public bucket, no credentials anywhere",
    "gcs-service-account": "GOOGLE_APPLICATION_CREDENTIALS names a service account's key file",
    "gcs-user": "application default credentials of a user, as gcloud leaves them",
    "gcs-metadata": "a GCE or GKE service account behind the metadata server",
    "gcs-wrong-key": "a service account's key file with a key that Google does not know",
    "gcs-no-credentials": "no credentials and no metadata server",
    "azure-public": "the public container, no credentials anywhere",
    "azure-key": "AZURE_STORAGE_ACCOUNT_KEY in the environment",
    "azure-wrong-key": "a wrong AZURE_STORAGE_ACCOUNT_KEY",
    "azure-sas": "a SAS token in AZURE_STORAGE_SAS_TOKEN",
    "azure-client": "a service principal: AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_TENANT_ID",
    "azure-managed-identity": "a managed identity behind the metadata service",
    "https": "a public data server, which shows the folder public/, too",
    "https-token": "a data server that asks for the bearer token in ARCHIVE_TOKEN",
    "https-wrong-token": "the same with a wrong token in ARCHIVE_TOKEN",
    "earthdata": "a bucket of NASA, a user's token for it, the user's own keys of S3",
    "planetary-computer": "a container of the Planetary Computer, the key of an own account",
    "s3-no-credentials": "no credentials and no metadata endpoint",
}
"""Name of each world and what surrounds a block in it."""

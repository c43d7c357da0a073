import os

os.environ["AWS_ACCESS_KEY_ID"] = os.environ["MINIO_ACCESS_KEY"]
os.environ["AWS_SECRET_ACCESS_KEY"] = os.environ["MINIO_SECRET_KEY"]
import vzarr

vzarr.build(
    "s3://acme-climate-archive/era5/*.nc",
    "soil.icechunk",
    concat_dim="time",
    access=vzarr.Access(endpoint=os.environ["MINIO_ENDPOINT"], region="us-east-1"),
    workers=1,
)

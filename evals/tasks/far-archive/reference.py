import os

import vzarr

vzarr.build(
    "s3://profiles/*.nc",
    "profiles.icechunk",
    concat_dim="time",
    access=vzarr.Access(endpoint=os.environ["ARCHIVE_ENDPOINT"], anonymous=True),
    workers=1,
)

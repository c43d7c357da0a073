#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.12"
# dependencies = [
#     "h5netcdf>=1.6",
#     "icechunk>=2.3",
#     "jinja2>=3.1",
#     "netcdf4>=1.7",
#     "obspec-utils>=0.9",
#     "obstore>=0.12",
#     "virtualizarr[hdf,icechunk]>=2.8",
#     "xarray>=2026.9",
#     "zarr>=3.4.2",
# ]
# ///
"""Build and verify virtual Zarr stores: one dataset over many files, not copied."""

from __future__ import annotations

import os

from vzarr.cli.main import main, make_parser, say
from vzarr.errors import stopped
from vzarr.process import STOPPED, end_on_signals, finish_output, prepare_streams
from vzarr.upstream.ending import Ending

__all__ = ["main", "make_parser"]

os.environ.setdefault("ICECHUNK_LOG", "error")  # read when icechunk is imported

if __name__ == "__main__":
    ending = Ending()
    prepare_streams(is_silent=not os.environ.get("VZARR_DEBUG"))
    end_on_signals(lambda name: say(stopped(name)))
    try:
        ended = main()
        finish_output()
    except KeyboardInterrupt:
        ended = STOPPED
    ending.leave(ended)

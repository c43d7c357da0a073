"""CF decoding of what a reader returns as it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr


def decode(raw: xr.Dataset, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """A dataset of stored numbers as one of values, without the variables in ``drop``.

    Raises
    ------
    ValueError
        With "decode time" in its text, if the units of a time cannot be decoded.
    """
    return xr.decode_cf(raw, decode_times=decode_times, drop_variables=list(drop))

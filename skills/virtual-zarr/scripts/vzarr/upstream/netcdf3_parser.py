"""Fill values in VirtualiZarr's NetCDF3 parser, which fails where no stored number can have one.

ERA-Interim has integers whose ``_FillValue`` is NaN: it masks nothing. Text takes its place in
others.

Remove when: VirtualiZarr's ``NetCDF3Parser`` parses such a variable. No issue was found for 2.8;
look for "cannot convert float NaN to integer" at
https://github.com/zarr-developers/VirtualiZarr/issues.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import virtualizarr.parsers.netcdf3 as parser
from virtualizarr.manifests import ManifestArray

_build = parser._build_manifest_array
_here = threading.local()


def patch_netcdf3_parser() -> None:
    """Let the parser obey ``unfit_fills_left_out``."""
    parser._build_manifest_array = _build_without_unfit  # type: ignore[assignment]


@contextmanager
def unfit_fills_left_out() -> Iterator[None]:
    """Parse variables whose fill value their type cannot have without it, in this thread.

    Programs that import this package parse by themselves, too, as the parser does.
    """
    _here.is_active = True
    try:
        yield
    finally:
        _here.is_active = False


def _build_without_unfit(variable: Any, header: Any, url: str) -> ManifestArray:
    is_active = getattr(_here, "is_active", False)
    if not is_active or _is_fit(variable.attributes.get("_FillValue"), variable.dtype):
        return _build(variable, header, url)
    known = {key: value for key, value in variable.attributes.items() if key != "_FillValue"}
    return _build(replace(variable, attributes=known), header, url)


def _is_fit(fill: Any, dtype: np.dtype) -> bool:
    """Whether stored numbers can have a value: what is no integer masks no integers."""
    if fill is None or dtype.kind not in "iu":
        return True
    try:
        number = float(np.asarray(fill).item())
    except (TypeError, ValueError):
        return False
    return bool(np.isfinite(number))

"""The coordinates of a file, without its references."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vzarr.errors import EnvironmentFault, InputError, Refused, is_failure, raise_fault, unreadable
from vzarr.formats.detect import detect_format
from vzarr.formats.open import list_groups, open_native
from vzarr.sources.content import fetch
from vzarr.sources.discover import Source
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import ParsedFile, cf_encoding
from vzarr.virtualize.selection import choose_groups, nothing_in, refusal, without_dropped


def read_coordinates(
    source: Source, access: Access, drop: tuple[str, ...] = (), groups: tuple[str, ...] = ()
) -> list[ParsedFile]:
    """The groups of a file with the coordinates that they hold, and nothing of their other values.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    parts = []
    unlimited: tuple[str, ...] = ()
    try:
        content = fetch(source.url, access, source.size)
        file_format = detect_format(content)
        for group in choose_groups(source.url, list_groups(content), groups, drop):
            with open_native(content, file_format, group, drop, quick=True) as native:
                variables = {
                    name: variable.load()
                    if variable.dims in ((name,), ())
                    else xr.Variable(
                        variable.dims,
                        np.broadcast_to(np.empty((), variable.dtype), variable.shape),
                        variable.attrs,
                    )
                    for name, variable in native.variables.items()
                }
                part = ParsedFile(source, file_format, xr.Dataset(variables), group=group)
                part.unlimited = tuple(native.encoding.get("unlimited_dims", ()))
                part.packing = {str(n): cf_encoding(v) for n, v in native.variables.items()}
            if group:
                part.unlimited += unlimited  # dimensions are declared above the group
            else:
                unlimited = part.unlimited
            if not part.is_empty:
                parts.append(part)
    except (InputError, Refused, EnvironmentFault):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise_fault(source.url, error)
        raise InputError(unreadable(source.url, error)) from error
    unfit = without_dropped(content.findings.unfit, drop)
    if unfit and not parts:
        raise refusal(source.url, unfit)
    if not parts:
        raise InputError(nothing_in(content, drop))
    return parts

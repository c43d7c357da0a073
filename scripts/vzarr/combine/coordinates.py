"""Coordinates that are those of other files but for their type, or for rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from vzarr.virtualize.model import ParsedFile, is_virtual


def apart(values: np.ndarray, model: np.ndarray) -> float:
    """How far a coordinate is from another, as a share of that one's smallest step.

    Infinity where that tells nothing: other lengths, no numbers, no step.
    """
    kinds = values.dtype.kind + model.dtype.kind
    if values.shape != model.shape or not set(kinds) <= set("iuf") or not values.size:
        return np.inf
    with np.errstate(invalid="ignore"):
        largest = np.abs(values.astype(float) - model.astype(float)).max()
        if largest == 0:
            return 0.0
        steps = np.abs(np.diff(model.astype(float).ravel()))
    steps = steps[steps > 0]
    return float(largest / steps.min()) if steps.size and np.isfinite(largest) else np.inf


def with_coordinates(
    files: Sequence[ParsedFile],
    model: Mapping[str, xr.Variable],
    digests: Mapping[str, str],
    dimension: str,
    share: float,
) -> list[ParsedFile]:
    """Files with the coordinates of the ``model`` where theirs are within a ``share`` of a step."""
    return [_with_those_of(file, model, digests, dimension, share) for file in files]


def _with_those_of(
    file: ParsedFile,
    model: Mapping[str, xr.Variable],
    digests: Mapping[str, str],
    dimension: str,
    share: float,
) -> ParsedFile:
    new, notes = {}, []
    for name, variable in file.dataset.variables.items():
        name = str(name)
        if name == dimension or variable.dims != (name,) or is_virtual(variable):
            continue
        first, known = model.get(name), digests.get(name)
        if first is None or known is None or known == file.digests.get(name):
            continue
        distance = apart(variable.values, first.values)
        if distance <= share:
            new[name] = variable.copy(data=first.values)
            if distance:
                notes.append(
                    f"{file.source.url}: {name} is off by {distance:.2g} of a step from the first "
                    "file's, which is stored"
                )
    if not new:
        return file
    return replace(
        file,
        dataset=file.dataset.assign_coords(new),
        digests={**file.digests, **{name: digests[name] for name in new}},
        notes=[*file.notes, *notes],
    )

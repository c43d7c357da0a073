"""How a repository's manifests are cut, so that one append or one value costs the same at any size.

Unsplit, each array has one manifest: every append writes it anew, every first read fetches all of
it (``benchmarks``, appending and reading).
"""

from __future__ import annotations

import math
import re
from typing import Any

import icechunk
import xarray as xr

from vzarr.virtualize.model import is_virtual

MANIFEST_REFERENCES = 20_000
"""References in a manifest, about: what one append writes anew and one value has to fetch."""


def manifest_config(
    datasets: dict[str, xr.Dataset], dimension: str | None
) -> icechunk.ManifestConfig | None:
    """Manifests cut along the record dimension; None where there is none to cut along.

    ``datasets`` by group, as they are first written.
    """
    steps: dict[int, list[str]] = {}
    for group, dataset in datasets.items():
        for name, variable in dataset.variables.items():
            if dimension is not None and dimension in variable.dims:
                path = f"{group}/{name}" if group else str(name)
                chunks = _chunks_of_step(variable, dimension)
                steps.setdefault(max(1, MANIFEST_REFERENCES // chunks), []).append(path)
    if not steps or dimension is None:
        return None
    along: Any = icechunk.ManifestSplitDimCondition.DimensionName(dimension)
    # The first rule that fits an array holds. Icechunk 2.3 compiles each pattern for each array:
    # 20 s for 2,000 names, so most arrays go without.
    by_number = sorted(steps.items(), key=lambda item: len(item[1]))
    rules = {
        icechunk.ManifestSplitCondition.path_matches(_any_of(paths)): {along: count}
        for count, paths in by_number[:-1]
    }
    rules[icechunk.ManifestSplitCondition.AnyArray()] = {along: by_number[-1][0]}
    return icechunk.ManifestConfig(splitting=icechunk.ManifestSplittingConfig.from_dict(rules))


def _chunks_of_step(variable: xr.Variable, dimension: str) -> int:
    if not is_virtual(variable):
        return 1
    grid = zip(variable.dims, variable.data.manifest.shape_chunk_grid, strict=True)
    return math.prod(max(1, count) for name, count in grid if name != dimension)


def _any_of(paths: list[str]) -> str:
    return f"^/({'|'.join(re.escape(path) for path in sorted(paths))})$"

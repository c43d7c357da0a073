"""How a repository's manifests are cut, so that one append or one value costs the same at any size.

Unsplit, each array has one manifest: every append writes it anew, every first read fetches all of
it (``benchmarks``, appending and reading).
"""

from __future__ import annotations

import re

import icechunk
import xarray as xr

from vzarr.parse import is_virtual

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
            if is_virtual(variable) and dimension in variable.dims:
                grid = dict(
                    zip(variable.dims, variable.data.manifest.shape_chunk_grid, strict=True)
                )
                grid.pop(dimension)
                chunks = 1
                for count in grid.values():
                    chunks *= max(1, count)
                path = f"{group}/{name}" if group else str(name)
                steps.setdefault(max(1, MANIFEST_REFERENCES // chunks), []).append(path)
    if not steps:
        return None
    along = icechunk.ManifestSplitDimCondition.DimensionName(dimension)
    rules = {
        icechunk.ManifestSplitCondition.path_matches(_any_of(paths)): {along: count}
        for count, paths in steps.items()
    }
    return icechunk.ManifestConfig(splitting=icechunk.ManifestSplittingConfig.from_dict(rules))


def _any_of(paths: list[str]) -> str:
    return f"^/({'|'.join(re.escape(path) for path in sorted(paths))})$"

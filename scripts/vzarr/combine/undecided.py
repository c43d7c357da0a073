"""Files that nothing tells how they continue: what they may lie along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vzarr.combine.file_sets import record_dimension, split_by_layout
from vzarr.combine.named_coordinates import TIME, times_in_names
from vzarr.virtualize.describe import Description
from vzarr.virtualize.equality import same

FORMATS = (
    *("%Y%m%dT%H%M%S", "%Y%m%d_%H%M%S", "%Y%m%d%H%M%S", "%Y%j%H%M%S", "%Y%m%dT%H", "%Y%m%d_%H"),
    *("%Y%m%d%H%M", "%Y%m%d%H", "%Y%m%d", "%Y-%m-%d", "%Y_%m_%d", "%Y%j", "%Y-%m", "%Y%m", "%Y"),
)
"""Times that names of files hold, the longest first."""
YEARS = range(1850, 2101)
"""Digits that would be another year are a number of something else."""


IMAGES = frozenset({"tiff", "fits", "jpeg2000", "envi"})
"""Formats whose dimensions are those of an image: the next file is another one, not more rows."""


@dataclass(frozen=True)
class Guess:
    """Along what files are shown to lie that do not say it themselves.

    A ``dimension``, which for times in the names (``form``: the value of ``--coord``) is a new one.
    """

    dimension: str | None = None
    form: str | None = None

    @property
    def notes(self) -> list[str]:
        """For the user, who has to decide."""
        if self.form:
            how = f"as if each were one step, at the time in its name (--coord {self.form})"
        elif self.dimension:
            how = f"end to end along {self.dimension} (--concat-dim {self.dimension})"
        else:
            return []
        return [
            f"no unlimited dimension and no time coordinate tells along what the files lie: shown "
            f"{how}; --concat-dim with a new name makes each file one step"
        ]


NO_GUESS = Guess()


def guess_along(described: list[Description]) -> Guess:
    """Along what files may lie where nothing in any of them tells it."""
    if len(described) < 2 or any(record_dimension(item) for item in described):
        return NO_GUESS
    is_taken = any(TIME in item.variables for item in described)
    form = None if is_taken else format_of_names([item.source.url for item in described])
    by_name = Guess(TIME, f"{TIME}={form}") if form else NO_GUESS
    if form and all(item.file_format in IMAGES for item in described):
        return by_name
    dimension = dimension_that_fits(described)
    return Guess(dimension) if dimension else by_name


def format_of_names(urls: Sequence[str]) -> str | None:
    """The format of the times in files' names, if each name has one and no two have the same."""
    for form in FORMATS:
        times = times_in_names(urls, form)
        if times and len(set(times)) == len(urls) and all(time.year in YEARS for time in times):
            return form
    return None


def dimension_that_fits(described: list[Description]) -> str | None:
    """The outermost dimension along which all files make one set, with places of their own.

    One whose coordinate is the same in all files is an axis of the grid.
    """
    counts = Counter(
        variable.dims[0]
        for item in described
        for variable in item.variables.values()
        if variable.dims and variable.storage == "virtual"
    )
    for dimension, _ in counts.most_common():
        if _is_shared(described, dimension):
            continue
        if len(split_by_layout(described, dimension)) == 1:
            return dimension
    return None


def _is_shared(described: list[Description], dimension: str) -> bool:
    """Whether every file has the same coordinate along a dimension."""
    first, *others = (_coordinates(item, dimension) for item in described)
    return bool(first) and all(
        first.keys() == other.keys() and all(same(first[path], other[path]) for path in first)
        for other in others
    )


def _coordinates(item: Description, dimension: str) -> dict[str, np.ndarray]:
    return {
        path: values
        for path, values in item.coordinates.items()
        if path.rpartition("/")[2] == dimension and values.ndim
    }


def advice(urls: Sequence[str], taken: bool = False) -> str:
    """How to say along what files lie; ``taken``: they have a variable ``time`` of their own."""
    form = None if taken or len(urls) < 2 else format_of_names(urls)
    times = f", or --coord {TIME}={form}, which takes times from the names" if form else ""
    return (
        "Say along what they lie: --concat-dim with a dimension of the files lays them end to end, "
        f"with a new name makes each file one step{times}; inspect shows what fits."
    )

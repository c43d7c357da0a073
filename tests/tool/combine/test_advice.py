"""Sets of files that differ in several ways at once: the store equals them, or the refusal names a
real reason, and each option that it advises builds; so does each command that inspect prints."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from making import Recipe
from vzarr.changes.build import build
from vzarr.cli.main import main
from vzarr.commands.inspect import inspect_files
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

STORED: dict[str, list] = {
    "dtype": ["i2", "i4"],
    "scale": [0.5, 0.25],
    "offset": [10.0, 12.0],
    "fill": [-99, -98],
    "shuffle": [True, False],
    "level": [1, 9],
    "chunk": [1, 2, 3],
    "format": ["NETCDF4", "NETCDF3_CLASSIC"],
}
"""How values are stored: of this any part of the files may differ."""
REAL: dict[str, tuple[list, str]] = {
    "units": (["K", "degC"], "units"),
    "calendar": (["standard", "noleap"], "calendar"),
    "mask": ([1.0, 2.0], "mask"),
    "jitter": ([0.0, 1.0], "lat"),
}
"""What no store can hold, and what a refusal says of it."""
OPTION = re.compile(r"--(irregular|packing|overlap|tolerance) ([a-z]+|[0-9.e-]+)")
DEPTH = 4


@st.composite
def sets_of_files(draw: st.DrawFn) -> list[Recipe]:
    """Two to four files that follow one another; neighbours may repeat a step."""
    keys = draw(st.lists(st.sampled_from(list(STORED)), max_size=3, unique=True))
    real = draw(st.sampled_from([None, None, None, *REAL]))
    recipes, start = [], 0
    for number in range(draw(st.integers(2, 4))):
        own = {key: draw(st.sampled_from(STORED[key])) for key in keys}
        if real is not None and number == 1:
            own[real] = REAL[real][0][1]
        steps = draw(st.sampled_from([2, 3, 4]))
        repeated = draw(st.sampled_from([0, 0, 1])) if number else 0
        recipe = replace(Recipe(), start=start - repeated, steps=steps, **own)
        recipes.append(replace(recipe, chunk=min(recipe.chunk, steps)))
        start += steps - repeated
    return recipes


def check(repo: Path, recipes: list[Recipe], options: dict) -> None:
    """All steps once, as any of the files has them: their values are those of the day."""
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, (options, report.failures)
    days = sorted({recipe.start + n for recipe in recipes for n in range(recipe.steps)})
    assert report.values > 0
    with open_built(repo) as stored:
        v = stored.v
        if "v_scale_factor" in stored:
            v = v * stored.v_scale_factor + stored.v_add_offset
        expected = 20.0 + np.array(days)[:, None] + 2.0 * np.arange(4)
        np.testing.assert_array_equal(v, expected)


def open_built(repo: Path) -> xr.Dataset:
    from stores import opened

    return opened(repo)[""]


def take(folder: Path, recipes: list[Recipe], files: list[str], options: dict, depth: int) -> int:
    """Build; where that is refused, with each option that the sentence names. Counts the stores."""
    repo = folder / "store"
    shutil.rmtree(repo, ignore_errors=True)
    try:
        build(files, str(repo), Access(), **options)
    except Refused as error:
        sentence = str(error)
    else:
        check(repo, recipes, options)
        return 1
    advised = {name: value for name, value in OPTION.findall(sentence)}  # the last of each
    pairs = {pair for pair in OPTION.findall(sentence) if options.get(pair[0]) != pair[1]}
    if not pairs:
        words = [REAL[key][1] for key in REAL if len({getattr(r, key) for r in recipes}) > 1]
        assert any(word in sentence for word in words), (sentence, recipes, options)
        return 0
    assert depth > 0, (sentence, options, advised)
    built = 0
    for name, value in sorted(pairs):
        chosen = float(value) if name == "tolerance" else value
        built += take(folder, recipes, files, {**options, name: chosen}, depth - 1)
    return built


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_each_option_that_a_refusal_names_builds(tmp_path: Path, number: int) -> None:
    outcomes: Counter[bool] = Counter()

    @seed(number)
    @settings(
        max_examples=int(os.environ.get("VZARR_EXAMPLES", "25")),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(sets_of_files())
    def run(recipes: list[Recipe]) -> None:
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        folder = tmp_path / "set"
        folder.mkdir()
        files = [str(r.write(folder / f"f{n}.nc")) for n, r in enumerate(recipes)]
        outcomes[bool(take(folder, recipes, files, {}, DEPTH))] += 1
        if len({recipe.mask for recipe in recipes}) == 1:  # values, which inspect does not read
            follow_inspect(folder, files)

    run()
    assert outcomes[True]


def follow_inspect(folder: Path, files: list[str]) -> None:
    """Run each command that inspect prints."""
    for number, file_set in enumerate(inspect_files(files, Access()).sets):
        if not file_set.build:
            assert file_set.overlaps
            continue
        repo = folder / f"inspected_{number}"
        words = shlex.split(file_set.build.replace("NAME.icechunk", str(repo)))[3:]
        assert main(["--quiet", *words][1:]) == 0, file_set.build
        assert verify_repository(str(repo), Access(), sample=None).passed

"""What ``build`` would make of a set of files that differ in how they store their variables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vzarr.combine.joined_sets import whole
from vzarr.combine.plan import (
    NO_CHOICE,
    Choice,
    Form,
    Way,
    choose,
    find_choice,
    flags_of,
    is_regular,
)
from vzarr.combine.raw_packing import differ_in_packing_only, same_packing
from vzarr.combine.recode import PACKING, packing_of, value_dtype
from vzarr.combine.shown import show
from vzarr.virtualize.describe import Description, Variable
from vzarr.virtualize.equality import same

NUMBERS = "iuf"


def is_number(variable: Variable) -> bool:
    """Whether a variable is virtual and of numbers, which a plan may turn into those of others."""
    return variable.storage == "virtual" and _dtype(variable).kind in NUMBERS


def _dtype(variable: Variable) -> np.dtype:
    """The type of a variable; of one of several fields, which are told as text, bytes."""
    try:
        return np.dtype(variable.dtype)
    except TypeError:
        return np.dtype("V8")


def find_ways(
    group: Sequence[Description], along: str, repeated: Sequence[int]
) -> tuple[dict[str, list[Way]], tuple[str, ...]]:
    """By variable: the way that build would go, or those of which the user has to choose.

    ``repeated`` first steps of each file are left to the one before it. Also returns the options
    with which build asks nothing.
    """
    choices: list[Choice] = []
    total, row_bytes = 0, {}
    for path, variable in whole(list(group)).variables.items():
        if along not in variable.dims or variable.storage != "virtual":
            continue
        forms = _forms(path, group, along, repeated)
        total += sum(form.bytes for form in forms)
        row_bytes[path] = forms[0].row_bytes
        if any(form.otherwise for form in forms) or not is_regular(forms, more_follow=False):
            choices.append(find_choice(path, forms, None, along, more_follow=False))
    ways, left = choose(choices, total, NO_CHOICE, {}, row_bytes)
    asked = {choice.variable: choice.offered for choice in left}
    flags = flags_of([choice for choice in choices if choice.variable in asked or choice.may_lose])
    return {**{path: [way] for path, way in ways.items()}, **asked}, flags


def _forms(
    path: str, group: Sequence[Description], along: str, repeated: Sequence[int]
) -> list[Form]:
    sizes: Counter[str] = Counter()
    urls: dict[str, str] = {}
    models: dict[str, Variable] = {}
    pairs = [pair for pair in zip(group, repeated, strict=True) if path in pair[0].variables]
    for item, _ in pairs:
        variable = item.variables[path]
        key = repr((variable.dtype, variable.codecs, _inner(variable, along), _packing(variable)))
        sizes[key] += math.prod(variable.shape) * _dtype(variable).itemsize
        urls.setdefault(key, item.source.url)
        models.setdefault(key, variable)
    most = max(sizes, key=sizes.__getitem__)
    forms = [
        replace(
            _form_of(item.variables[path], models[most], along, count),
            otherwise=_otherwise(item.variables[path], models[most], along, urls[most]),
        )
        for item, count in pairs
    ]
    return [
        replace(form, otherwise=form.otherwise and f"{item.source.url}: {path}: {form.otherwise}")
        for (item, _), form in zip(pairs, forms, strict=True)
    ]


def _form_of(variable: Variable, model: Variable, along: str, repeated: int) -> Form:
    """How a file stores a variable, without its first ``repeated`` steps."""
    axis = variable.dims.index(along)
    row = math.prod(size for at, size in enumerate(variable.shape) if at != axis)
    chunks = variable.chunks or variable.shape
    is_plain = not variable.codecs and math.prod(chunks[:axis]) == 1
    dtype, wanted = _dtype(variable), _dtype(model)
    packing, packing_of_model = _packing(variable), _packing(model)
    is_same = same_packing(packing, packing_of_model)
    values = value_dtype(dtype, packing).itemsize if dtype != wanted or not is_same else 0
    chunk = max(1, chunks[axis])
    lead = 0 if is_plain else -repeated % chunk
    if is_plain and repeated:
        chunk = math.gcd(chunk, repeated, variable.shape[axis] % chunk)
    length = variable.shape[axis] - repeated
    return Form(
        length,
        chunk,
        row * wanted.itemsize,
        is_plain,
        value_bytes=row * values,
        lead=min(lead, length),
        may_lose=not is_same or not np.can_cast(dtype, wanted),
        is_scaled=dtype == wanted
        and dtype.kind in "iu"
        and differ_in_packing_only(packing, packing_of_model),
    )


def _otherwise(variable: Variable, model: Variable, along: str, url: str) -> str:
    """What is different in the form of a variable, or an empty string."""
    packing, expected = _packing(variable), _packing(model)
    pairs: list[tuple[str, Any, Any]] = [
        ("the dtype", variable.dtype, model.dtype),
        *((key, packing.get(key), expected.get(key)) for key in PACKING),
        ("the list of codecs", variable.codecs, model.codecs),
        ("the chunk shape", _inner(variable, along), _inner(model, along)),
    ]
    for what, value, wanted in pairs:
        if not same(value, wanted):
            return f"{what} is {show(value)}, but {show(wanted)} in {url}"
    return ""


def _packing(variable: Variable) -> dict[str, Any]:
    return packing_of(variable.encoding)


def _inner(variable: Variable, along: str) -> tuple[int, ...]:
    chunks = zip(variable.dims, variable.chunks or variable.shape, strict=True)
    return tuple(size for dim, size in chunks if dim != along)

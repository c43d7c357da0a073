"""Files made fit for one another, each variable in the way that the plan has for it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from vzarr.combine.codecs import decoding, with_codecs_of
from vzarr.combine.mixed_array import (
    MixedArray,
    as_copy,
    as_rectilinear,
    as_regular,
    edges_of,
    empty_array,
)
from vzarr.combine.plan import (
    Choice,
    Form,
    Layout,
    Policy,
    Way,
    choose,
    find_choice,
    form_of,
    is_regular,
)
from vzarr.combine.raw_packing import differ_in_packing_only, same_packing
from vzarr.combine.recode import PACKING, Recode, packing_of, value_dtype
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import create_v3_array_metadata, manifest_chunk_shape
from vzarr.virtualize.equality import same
from vzarr.virtualize.model import ParsedFile, is_virtual
from vzarr.virtualize.plain_chunks import cut


@dataclass(frozen=True)
class Model:
    """The form that an array has: that of most of the bytes, or of what is stored.

    ``attrs`` are those of a variable in this form, ``url`` a file's that has it.
    """

    data: ManifestArray
    packing: dict[str, Any]
    attrs: Mapping[Any, Any]
    dims: tuple[Any, ...]
    url: str = ""

    def axis(self, dimension: str) -> int:
        """The number of a dimension's axis."""
        return self.dims.index(dimension)


@dataclass(frozen=True)
class Plan:
    """``ways`` of the variables of a group that need one, and the ``models`` of all that grow.

    ``choices`` are those that the user has to make.
    """

    ways: dict[str, Way] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    models: dict[str, Model] = field(default_factory=dict)


def make_plan(
    files: Sequence[ParsedFile],
    layouts: dict[str, Layout],
    dimension: str,
    policy: Policy,
    more_follow: bool,
    first: ParsedFile | None = None,
) -> Plan:
    """The plan for one group of files that lie in their order along ``dimension``.

    ``layouts`` are the arrays that they continue, and ``first`` a file of these. Files that differ
    in what cannot be made fit have no part in it: comparing them says so.
    """
    choices: list[Choice] = []
    models = _find_models(files, layouts, dimension, first)
    if policy.irregular == "refuse":
        return Plan(models=models)
    row_bytes: dict[str, int] = {}
    total = 0
    for name, model in models.items():
        forms = [form for file in files if (form := _form(file, name, model, dimension))]
        if not forms:
            continue
        total += sum(form.bytes for form in forms)
        row_bytes[name] = forms[0].row_bytes
        layout = layouts.get(name)
        has_edges = layout is not None and layout.edges is not None
        before = form_of(layout.as_array(), layout.axis) if layout and not has_edges else None
        every = [before, *forms] if before else forms
        is_mixed = any(form.otherwise for form in forms)
        if has_edges or is_mixed or not is_regular(every, more_follow):
            choices.append(
                find_choice(name, forms, before, dimension, more_follow, is_uneven=has_edges)
            )
    ways, left = choose(choices, total, policy, layouts, row_bytes)
    unpacked = {n: _as_values(files, n, models[n]) for n, w in ways.items() if w.kind == "decode"}
    return Plan(ways, tuple(left), {**models, **unpacked})


def _find_models(
    files: Sequence[ParsedFile],
    layouts: Mapping[str, Layout],
    dimension: str,
    first: ParsedFile | None,
) -> dict[str, Model]:
    models = {}
    for name in dict.fromkeys(str(n) for file in files for n in file.dataset.variables):
        variables = [
            (variable, packing_of(file.packing.get(name, {})), file.source.url)
            for file in files
            if (variable := file.dataset.variables.get(name)) is not None
            and is_virtual(variable)
            and dimension in variable.dims
        ]
        if name in layouts and first is not None and name in first.dataset.variables:
            packing = packing_of(first.packing.get(name, {}))
            data, dims = layouts[name].as_array(), first.dataset[name].dims
            model = Model(data, packing, first.dataset[name].attrs, dims, first.source.url)
            axis = layouts[name].axis
            like = [v.attrs for v, own, _ in variables if not _otherwise(v, own, model, axis)]
            models[name] = replace(model, attrs=like[0]) if like else model
        elif variables:
            models[name] = _most_frequent(variables)
    return models


def _most_frequent(variables: list[tuple[xr.Variable, dict[str, Any], str]]) -> Model:
    """The form of most bytes; of several, the first one's."""
    sizes: dict[str, int] = defaultdict(int)
    models: dict[str, Model] = {}
    for variable, packing, url in variables:
        metadata = variable.data.metadata
        inner = [
            0 if size == shape else size
            for size, shape in zip(manifest_chunk_shape(metadata), variable.shape, strict=True)
        ][1:]
        form = repr((str(variable.dtype), decoding(metadata), inner, sorted(packing.items())))
        sizes[form] += variable.nbytes
        attrs = variable.attrs
        models.setdefault(form, Model(variable.data, packing, attrs, variable.dims, url))
    return models[max(sizes, key=sizes.__getitem__)]


def _otherwise(variable: xr.Variable, packing: dict[str, Any], model: Model, axis: int) -> str:
    """What is different in the form of a variable, or an empty string."""
    if not is_virtual(variable):
        return _differs("the kind of storage", "native", "virtual", model)
    mine, theirs = variable.data.metadata, model.data.metadata
    if mine.data_type != theirs.data_type:
        return _differs("the dtype", variable.dtype, model.data.dtype, model)
    for key in PACKING:
        if not same(packing.get(key), model.packing.get(key)):
            return _differs(key, packing.get(key), model.packing.get(key), model)
    if decoding(mine) != decoding(theirs):
        return _differs("the list of codecs", list(mine.codecs), list(theirs.codecs), model)
    if _inner(mine, axis) != _inner(theirs, axis):
        chunks = manifest_chunk_shape(mine), manifest_chunk_shape(theirs)
        return _differs("the chunk shape", chunks[0], chunks[1], model)
    return ""


def _differs(what: str, value: Any, expected: Any, model: Model) -> str:
    return f"{what} is {value}, but {expected} in {model.url}"


def _inner(metadata: Any, axis: int) -> tuple[int, ...]:
    chunk = manifest_chunk_shape(metadata)
    return (*chunk[:axis], *chunk[axis + 1 :])


def _form(file: ParsedFile, name: str, model: Model, dimension: str) -> Form | None:
    """How a file stores a variable; None where it cannot be made fit."""
    variable = file.dataset.variables.get(name)
    if variable is None or variable.dims != model.dims or dimension not in variable.dims:
        return None
    axis = model.axis(dimension)
    packing = packing_of(file.packing.get(name, {}))
    otherwise = _otherwise(variable, packing, model, axis)
    if not otherwise:
        return form_of(variable.data, axis)
    otherwise = f"{file.source.url}: {name}: {otherwise}"
    shapes = [(*v.shape[:axis], *v.shape[axis + 1 :]) for v in (variable, model.data)]
    kinds = variable.dtype.kind + model.data.dtype.kind
    if shapes[0] != shapes[1] or not set(kinds) <= set("iuf"):
        return None
    row = math.prod(shapes[0]) * model.data.dtype.itemsize
    chunk = manifest_chunk_shape(model.data.metadata)[axis]
    is_other = variable.dtype != model.data.dtype
    is_packed = not same_packing(packing, model.packing)
    width = _values_of(variable, packing).itemsize if is_packed or is_other else 0
    length = variable.shape[axis]
    return Form(
        length,
        chunk,
        row,
        True,
        otherwise,
        value_bytes=math.prod(shapes[0]) * width,
        may_lose=is_packed or not np.can_cast(variable.dtype, model.data.dtype),
        is_scaled=is_virtual(variable)
        and not is_other
        and kinds in ("ii", "uu")
        and differ_in_packing_only(packing, model.packing),
    )


def _values_of(variable: xr.Variable, packing: dict[str, Any]) -> np.dtype:
    """The type that a variable's numbers have when they are unpacked."""
    return variable.dtype if not is_virtual(variable) else value_dtype(variable.dtype, packing)


def _as_values(files: Sequence[ParsedFile], name: str, model: Model) -> Model:
    """The model of a variable that is stored as values, which each file packs in its way."""
    types = [
        _values_of(file.dataset[name].variable, packing_of(file.packing.get(name, {})))
        for file in files
        if name in file.dataset.variables
    ]
    dtype = np.result_type(*types)
    metadata = create_v3_array_metadata(
        shape=model.data.shape,
        data_type=dtype,
        chunk_shape=manifest_chunk_shape(model.data.metadata),
        fill_value=np.nan if dtype.kind == "f" else 0,
        codecs=[{"name": "zstd", "configuration": {"level": 3}}],
    )
    attrs = {key: value for key, value in model.attrs.items() if key not in PACKING}
    return replace(model, data=empty_array(metadata), packing={}, attrs=attrs)


def fit(
    files: Sequence[ParsedFile],
    plan: Plan,
    dimension: str,
    access: Access,
    more_follow: bool,
) -> list[ParsedFile]:
    """The files with each variable in the form that its way asks for."""
    fitted = []
    for number, file in enumerate(files):
        is_last = number == len(files) - 1 and not more_follow
        new: dict[str, xr.Variable] = {}
        packing, native = dict(file.packing), dict(file.native)
        for name, model in plan.models.items():
            form = _form(file, name, model, dimension)
            way = plan.ways.get(name)
            if form is None or (form.otherwise and way is None):
                continue
            variable = file.dataset[name].variable
            data: ManifestArray = variable.data
            attrs = variable.attrs
            if form.otherwise and way is not None:
                data = _copied(file, name, way, model, dimension, access)
                attrs = _with_packing_of(variable.attrs, model.attrs)
                own = {k: v for k, v in packing.get(name, {}).items() if k not in PACKING}
                packing[name] = {**own, **model.packing}
                native.pop(name, None)
            else:
                data = with_codecs_of(data, model.data)
                if way is not None:
                    data = _fit_array(data, way, model, dimension, access, is_last)
            if data is not variable.data:
                new[name] = xr.Variable(variable.dims, data, attrs)
        if new:
            coordinates = [name for name in new if name in file.dataset.coords]
            dataset = file.dataset.assign(new).set_coords(coordinates)
            file = replace(file, dataset=dataset, packing=packing, native=native)
        fitted.append(file)
    return fitted


def _with_packing_of(attrs: Mapping[Any, Any], model: Mapping[Any, Any]) -> dict[Any, Any]:
    own = {key: value for key, value in attrs.items() if key not in PACKING}
    return {**own, **{key: model[key] for key in PACKING if key in model}}


def _copied(
    file: ParsedFile, name: str, way: Way, model: Model, dimension: str, access: Access
) -> MixedArray:
    """A variable that a file stores otherwise, copied in the model's form."""
    variable = file.dataset[name].variable
    axis, metadata = model.axis(dimension), model.data.metadata
    own = packing_of(file.packing.get(name, {})) if is_virtual(variable) else {}
    recode = Recode(file.source.url, name, own, model.packing, model.data.dtype)
    source = variable.data if is_virtual(variable) else np.asarray(variable.values)
    if way.kind == "cut":
        metadata = cut(model.data, axis, way.rows).metadata
    chunk = manifest_chunk_shape(metadata)[axis]
    is_all = way.kind in ("copy", "decode") and not way.virtual
    edges = None if is_all else edges_of(source.shape[axis], chunk)
    is_grid = way.kind != "rectilinear"
    return as_copy(source, metadata, axis, access, edges, is_grid, recode)


def _fit_array(
    data: ManifestArray, way: Way, model: Model, dimension: str, access: Access, is_last: bool
) -> ManifestArray:
    axis = model.axis(dimension)
    if way.kind == "cut":
        cut_up = cut(data, axis, way.rows)
        return as_regular(cut_up, axis) if way.native else cut_up
    if way.kind in ("copy", "decode") and way.virtual == 0:
        return as_copy(data, model.data.metadata, axis, access)
    if way.kind in ("partly", "copy"):
        return as_regular(data, axis)
    return as_rectilinear(data, axis, access, is_last)


def fit_in_place(
    file: ParsedFile, layouts: dict[str, Layout], dimension: str, start: int, access: Access
) -> ParsedFile:
    """A file in the form in which it takes the rows from ``start`` on of what is stored.

    Where the store has copies or chunks of unequal length, what does not lie as these is copied.
    """
    new = {}
    for name, layout in layouts.items():
        variable = file.dataset.variables.get(name)
        if variable is None or not is_virtual(variable) or dimension not in variable.dims:
            continue
        array = with_codecs_of(variable.data, layout.as_array())
        if _is_like(array, layout.as_array(), layout.axis):
            data = _in_place(array, layout, start, access)
            new[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
    return replace(file, dataset=file.dataset.assign(new)) if new else file


def _in_place(data: ManifestArray, layout: Layout, start: int, access: Access) -> ManifestArray:
    axis = layout.axis
    stop = start + data.shape[axis]
    if layout.edges is not None:
        own = as_rectilinear(data, axis, access, is_last=stop == layout.rows)
        span = layout.edges[layout.chunk_at(start) : layout.chunk_at(stop - 1) + 1]
        if own.edges == span:
            return own
        return as_copy(data, layout.metadata, axis, access, span, is_regular=False)
    form = form_of(data, axis)
    if form.chunk == layout.chunk and not layout.is_copy and not form.lead:
        return data
    divides = form.chunk % layout.chunk == 0 and form.left % layout.chunk == 0
    if layout.is_copy or form.lead:
        return as_copy(data, layout.metadata, axis, access)
    # What cannot be cut is left as it is, and refused: nothing is copied that nobody asked for.
    return cut(data, axis, layout.chunk) if form.is_plain and divides else data


def like_stored(parsed: ParsedFile, layouts: dict[str, Layout], plan: Plan) -> ParsedFile:
    """A file that was written before, in the form that it has in the store by now."""
    new = {}
    for name, layout in layouts.items():
        variable = parsed.dataset.variables.get(name)
        if variable is None or not is_virtual(variable):
            continue
        data = layout.as_array(variable.shape)
        way = plan.ways.get(name)
        if way is not None and way.kind == "cut":
            data = cut(data, layout.axis, way.rows)
        elif way is not None and way.kind == "rectilinear" and layout.edges is None:
            data = MixedArray(data.metadata, data.manifest, layout.axis, (layout.chunk,))
        new[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
    return replace(parsed, dataset=parsed.dataset.assign(new)) if new else parsed


def _is_like(array: ManifestArray, first: ManifestArray, axis: int) -> bool:
    """Whether only the lengths of chunks along an axis differ."""
    mine, theirs = array.metadata, first.metadata
    return (
        array.ndim == first.ndim
        and mine.data_type == theirs.data_type
        and mine.codecs == theirs.codecs
        and _inner(mine, axis) == _inner(theirs, axis)
    )

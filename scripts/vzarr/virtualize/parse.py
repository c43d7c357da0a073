"""One file to references, checked against what a native reader sees in it.

Whatever the parser loses, invents or reads wrong is replaced by a native copy or dropped, and the
reason is kept.
"""

from __future__ import annotations

import warnings

import xarray as xr

from vzarr.errors import InputError, Refused
from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.unwritten import hdf5_unwritten
from vzarr.formats.open import list_groups, open_native
from vzarr.formats.reasons import BY_DROP, Code, Reason
from vzarr.sources.content import Content, fetch
from vzarr.sources.discover import Source
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.schemes import Access
from vzarr.text import drop_options
from vzarr.virtualize.assemble import as_stored, assemble, foreign_type
from vzarr.virtualize.attributes import as_python, check_nesting, clean_attributes
from vzarr.virtualize.model import ParsedFile, cf_encoding, digest
from vzarr.virtualize.selection import choose_groups, nothing_in, refusal, without_dropped


def parse_file(
    source: Source,
    access: Access,
    drop: tuple[str, ...] = (),
    record_dimension: str | None = None,
    groups: tuple[str, ...] = (),
    content: Content | None = None,
) -> ParsedFile:
    """References to one file, each variable compared with the native reader.

    ``drop`` names variables in any group, or one variable or group by its path;
    ``record_dimension`` the dimension to combine along; ``groups`` and what lies below them are
    taken, or all. ``content`` if it is fetched already.

    Raises
    ------
    InputError
        If the format is not supported, or there are no variables.
    Refused
        If a variable can neither be virtual nor be copied.
    """
    content = content or fetch(source.url, access, source.size)
    content.findings.combined_along = record_dimension
    file_format = detect_format(content)
    chosen = choose_groups(source.url, list_groups(content), groups, drop)
    parsed = ParsedFile(source, file_format, xr.Dataset())
    for group in chosen:
        part = _parse_group(
            source, content, file_format, group, drop, record_dimension, alone=len(chosen) == 1
        )
        if not group:
            parsed = part
        elif not part.is_empty:
            part.unlimited += parsed.unlimited  # dimensions are declared above the group
            parsed.children[group] = part
    if unfit := without_dropped(content.findings.unfit, drop):
        raise refusal(source.url, unfit)
    if parsed.is_empty and not parsed.children:
        raise InputError(nothing_in(content, drop))
    for path, reason in content.findings.without_values.items():
        owner_path, _, name = path.rpartition("/")
        owner = parsed.children.get(owner_path) if owner_path else parsed
        if owner is not None:
            owner.dropped.setdefault(name, Reason(Code.NO_VALUES, reason))
    parsed.data_url = content.url
    parsed.fingerprint = fingerprint(content, source.size)
    parsed.notes = list(dict.fromkeys([*parsed.notes, *content.findings.notes]))
    return parsed


def _parse_group(
    source: Source,
    content: Content,
    file_format: str,
    group: str,
    drop: tuple[str, ...],
    record_dimension: str | None,
    alone: bool,
) -> ParsedFile:
    prefix = f"{group}/" if group else ""
    drop = tuple(name.removeprefix(prefix) for name in drop if "/" not in name.removeprefix(prefix))
    empty = hdf5_unwritten(content, group) if file_format == "hdf5" else {}
    empty = {name: array for name, array in empty.items() if name not in drop}
    for name, dataset in empty.items():
        if dataset.is_index:
            raise Refused(
                f"{source.url}: {prefix}{name} is declared with {dataset.shape[0]} values and none "
                "was ever written, and whoever opens a store loads its coordinates. "
                f"Leave it out with {drop_options([prefix + name])}."
            )
    with warnings.catch_warnings(), open_native(content, file_format, group, drop) as native:
        warnings.simplefilter("ignore")
        if not native.variables:
            attributes = {key: as_python(value) for key, value in native.attrs.items()}
            nothing = xr.Dataset(attrs=attributes)
            notes = clean_attributes(nothing)
            unlimited = tuple(native.encoding.get("unlimited_dims", ()))
            return ParsedFile(source, file_format, nothing, unlimited, notes=notes, group=group)
        packing = {str(name): cf_encoding(v) for name, v in native.variables.items()}
        assembled = assemble(
            source, content, file_format, group, native, drop, empty, record_dimension
        )
        parsed = ParsedFile(
            source,
            file_format,
            assembled.dataset,
            tuple(native.encoding.get("unlimited_dims", ())),
            native=assembled.native,
            dropped=assembled.dropped,
            packing=packing,
            group=group,
        )
        known = content.findings.variables.get(group, drop)
        parsed.dropped.update(dict.fromkeys((name for name in drop if name in known), BY_DROP))
        check_nesting(source.url, parsed.dataset)
        parsed.notes = clean_attributes(parsed.dataset)
        if record_dimension is not None:
            # A file of one group without the record dimension gets it in front of these.
            grown = alone and record_dimension not in native.dims
            parsed.digests = {
                str(name): digest(variable)
                for name, variable in native.variables.items()
                if record_dimension not in variable.dims
                and name != record_dimension
                and not (grown and variable.ndim and name in native.data_vars)
            }
            parsed.scalars = {
                name: as_stored(native.variables[name].compute())
                for name in parsed.digests
                if not native.variables[name].ndim
                and name in parsed.dataset.variables
                and not foreign_type(native.variables[name])
            }
    return parsed

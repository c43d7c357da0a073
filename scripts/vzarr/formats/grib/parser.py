"""GRIB: each field of each message a chunk, labelled as ecCodes reads it.

Groups, names and axes are those of ``layout``; chunks are decoded by gribberish's codec, or by
that of ``virtual_zarr_grib`` where gribberish does not read them as ecCodes does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from virtual_zarr_grib import register
from virtualizarr.manifests import ManifestGroup

from vzarr.formats.decoding import decode
from vzarr.formats.grib.arrays import make_dataset, make_manifests
from vzarr.formats.grib.labels import find_failures
from vzarr.formats.grib.survey import survey_file
from vzarr.sources.content import Content


def list_groups(content: Content) -> list[str]:
    """The groups that the file's fields are laid out in."""
    return ["", *survey_file(content).groups]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """The fields of one group, decoded by ecCodes."""
    survey = survey_file(content)
    if group not in survey.groups:
        return xr.Dataset()
    layout = survey.groups[group]
    content.findings.variables[group] = {*layout.variables}
    return decode(make_dataset(layout, survey.grid(layout), survey.octets), drop, decode_times)


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """References to the fields of one group, message by message."""
    survey = survey_file(content)
    register()
    if group not in survey.groups:
        return ManifestGroup({})
    layout = survey.groups[group]
    arrays = make_manifests(url, layout, survey.grid(layout), survey.octets, survey.decoder)
    return ManifestGroup({name: array for name, array in arrays.items() if name not in drop})


def label_failures(content: Content, stored: Mapping[str, xr.Dataset]) -> list[str]:
    """What a store says wrongly of the messages of a file; ``stored`` by group, of this file."""
    return find_failures(survey_file(content), stored)

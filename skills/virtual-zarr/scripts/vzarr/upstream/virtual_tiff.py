"""Faults of virtual-tiff 0.5, and codecs that zarr does not find by itself.

Some of its codecs have other names in zarr's registry than in the metadata that it writes. Its Rust
part panics, which is no ``Exception``, over what it does not expect.

Remove when: virtual-tiff reads interleaved bands with zarr 3.3 or later, registers its codecs under
the names that it writes, and raises exceptions. Look at
https://github.com/virtual-zarr/virtual-tiff/issues.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestArray

from vzarr.upstream.virtualizarr import group_of
from vzarr.upstream.zarr import sync


def register_codecs() -> None:
    """Let zarr know the codecs, if virtual-tiff is installed."""
    if importlib.util.find_spec("virtual_tiff") is not None:
        importlib.import_module("virtual_tiff")


def parse_image(url: str, registry: ObjectStoreRegistry, number: int) -> ManifestArray:
    """References to one image of a TIFF file, counted from 0.

    Raises
    ------
    ValueError
        If the parser panics, or cannot read interleaved bands.
    Exception
        Whatever else it raises.
    """
    from virtual_tiff import VirtualTIFF

    try:
        return group_of(VirtualTIFF(ifd=number)(url, registry)).arrays[str(number)]
    except BaseException as error:
        if "Endian()" in str(error):
            raise ValueError(
                "virtual-tiff 0.5 cannot read interleaved bands with zarr 3.3 or later"
            ) from error
        if isinstance(error, Exception | KeyboardInterrupt | SystemExit):
            raise
        raise ValueError(f"virtual-tiff fails: {error}") from None  # a panic of its Rust part


def image_attributes(url: str, registry: ObjectStoreRegistry, number: int) -> dict[str, Any]:
    """What ``parse_image`` would say of an image beside its pixels; nothing where that fails."""
    from virtual_tiff import parser

    try:
        store, path = registry.resolve(url)
        tiff = sync(parser._open_tiff(store=store, path=path))
        attributes = parser._get_attributes(tiff.ifds[number])
    except BaseException as error:  # a panic of its Rust part is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return {}
    return {key: value for key, value in attributes.items() if key != "gdal_no_data"}

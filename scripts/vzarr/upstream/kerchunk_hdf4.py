"""The parts of VirtualiZarr's HDF4 parser, so that arrays can be checked before they are made.

``HDF4Parser`` of VirtualiZarr 2.8 makes room for all chunks that are declared. kerchunk 0.2.10
swaps the bytes of floating-point numbers, of which its table of types says the wrong order.

Remove when: the parser can leave out variables and says what it is about to make; kerchunk's
``hdf4.dtypes`` has ``>f4`` and ``>f8`` under 5 and 6. No issue was found; look for "hdf4 dtypes
float" at https://github.com/fsspec/kerchunk/issues.
"""

from __future__ import annotations

from typing import Any

import kerchunk.hdf4
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.parsers import hdf4

METADATA_PREFIXES = hdf4._ODL_METADATA_PREFIXES
"""How the names of attributes begin whose text the decoder takes apart."""


def decode(url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an HDF4 file holds by name, and its attributes.

    Returns
    -------
    variables : dict
        By name, what kerchunk says of a dataset: ``dims``, ``dtype``, ``chunks``, ``refs`` and its
        attributes; or the text of an attribute that was taken apart.
    attributes : dict
        Of the file.
    """
    kerchunk.hdf4.dtypes.update({5: ">f4", 6: ">f8"})  # right in any release
    return hdf4._decode(url, {})


def array_of(name: str, variable: dict[str, Any], url: str, place: str) -> ManifestArray:
    """References to one of the variables that ``decode`` returns, of any number of dimensions.

    ``HDF4Parser`` names two dimensions, or one where nothing was written, whatever the shape.
    """
    references = variable.get("refs", [])
    names = 2 if references else 1
    shape = tuple(variable["dims"])
    if min(len(shape), names) == len(shape):
        return hdf4._manifestarray(name, variable, url, place)
    flat = {**variable, "dims": shape[:1], "chunks": shape[:1], "refs": []}
    like = hdf4._manifestarray(name, flat, url, place).metadata
    document = {
        "shape": shape,
        "chunks": tuple(variable.get("chunks", shape)),
        "dtype": variable["dtype"],
        "fill_value": 0,
        "filters": None,
        "compressor": hdf4._ZLIB if references else None,
        "zarr_format": 2,
        "dimension_names": [f"{name}_{number}" for number in range(len(shape))],
    }
    metadata = hdf4.from_kerchunk_refs(document, dict(like.attributes))
    grid = hdf4.determine_chunk_grid_shape(metadata.shape, metadata.chunks)
    chunks: Any = {each[0]: [url, each[1], each[2]] for each in references}
    manifest = (
        hdf4.manifest_from_kerchunk_chunk_dict(chunks, fs_root=place, shape=grid)
        if chunks
        else ChunkManifest({}, shape=grid)
    )
    return ManifestArray(metadata, manifest)

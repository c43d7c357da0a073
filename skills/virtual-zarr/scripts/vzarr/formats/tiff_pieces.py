"""Images of TIFF that virtual-tiff refuses: interleaved bands, plain strips with a short end."""

from __future__ import annotations

import math
from typing import Any

import tifffile
from virtualizarr.manifests import ChunkManifest, ManifestArray

from vzarr.limits import rows_that_divide
from vzarr.upstream.virtualizarr import create_v3_array_metadata

NONE, ZLIB = 1, {8, 32946}
"""Compressions that Zarr's own codecs decode."""


def pieces_of(url: str, page: tifffile.TiffPage, byteorder: str) -> ManifestArray | None:
    """References to an image, bands first; None for one that the parser takes, or nobody.

    Strips that lie one behind the other are cut anew where the last one is short; a compressed one
    that is short cannot be a chunk.
    """
    bands = page.samplesperpixel
    compression = int(page.compression)
    is_mixed = bands > 1 and int(page.planarconfig) == 1
    is_pixels = page.predictor == 1 and page.fillorder == 1 and page.imagedepth == 1
    if page.dtype is None or page.bitspersample != page.dtype.itemsize * 8 or not is_pixels:
        return None
    if compression != NONE and compression not in ZLIB:
        return None
    rows, columns = page.imagelength, page.imagewidth
    if page.is_tiled:
        piece = (page.tilelength, page.tilewidth)
    else:
        piece = (min(page.rowsperstrip or rows, rows), columns)
    is_short = not page.is_tiled and rows % piece[0] > 0
    if not is_mixed and not (is_short and bands == 1):
        return None
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if is_short and not (compression == NONE and page.is_contiguous):
        return None
    row_bytes = columns * (bands if is_mixed else 1) * page.dtype.itemsize
    if is_short:
        piece = (rows_that_divide(rows, row_bytes), columns)
        size = piece[0] * row_bytes
        places = [(places[0][0] + n * size, size) for n in range(rows // piece[0])]
    grid = (-(-rows // piece[0]), -(-columns // piece[1]))
    if math.prod(grid) != len(places):
        return None
    codecs: list[dict[str, Any]] = [
        {"name": "bytes", "configuration": {"endian": "little" if byteorder == "<" else "big"}}
    ]
    if is_mixed:  # stored as rows, columns, bands
        codecs.insert(0, {"name": "transpose", "configuration": {"order": [1, 2, 0]}})
    if compression in ZLIB:
        codecs.append({"name": "numcodecs.zlib", "configuration": {"level": 6}})
    front = (bands,) if is_mixed else ()
    metadata = create_v3_array_metadata(
        shape=(*front, rows, columns),
        data_type=page.dtype.newbyteorder("="),
        chunk_shape=(*front, *piece),
        fill_value=0,
        codecs=codecs,
        dimension_names=("band", "y", "x") if is_mixed else ("y", "x"),
        attributes={},
    )
    chunks = {}
    for number, (offset, length) in enumerate(places):
        if length:  # never written: a hole
            at = (*(0 for _ in front), *divmod(number, grid[1]))
            chunks[".".join(map(str, at))] = {"path": url, "offset": offset, "length": length}
    return ManifestArray(metadata, ChunkManifest(chunks, shape=(*(1 for _ in front), *grid)))

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
from virtualizarr.manifests import ManifestArray
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
    """References to one of the variables that ``decode`` returns."""
    return hdf4._manifestarray(name, variable, url, place)

"""Names of HDF5 objects, each looked for once.

HDF5 finds the name of an open object by searching its file: with 2,000 variables on two dimensions
that took most of the time in which the file was read (h5py 3.16).

Remove when: HDF5's H5Iget_name, or h5py's ``Dataset.name``, takes no search. Look for "H5Iget_name
slow" at https://github.com/HDFGroup/hdf5/issues.
"""

from __future__ import annotations

from h5py import h5d, h5i, h5o

NAMES_LIMIT = 10_000
"""Names of dimension scales that are remembered."""


_names: dict[tuple[int, int], str] = {}


def name_once(identifier: h5d.DatasetID) -> str:
    """The path of an open dataset in its file.

    HDF5 gives a file another number each time that it is opened.
    """
    info = h5o.get_info(identifier)
    key = (info.fileno, info.addr)
    if key not in _names:
        if len(_names) >= NAMES_LIMIT:
            _names.clear()
        _names[key] = h5i.get_name(identifier).decode()
    return _names[key]

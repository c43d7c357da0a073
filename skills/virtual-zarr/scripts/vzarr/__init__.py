"""Build and verify virtual Zarr stores: the package behind ``scripts/virtual_zarr.py``.

One module per step: ``storage`` (where URLs lead), ``find`` (which files), ``native`` (what they
hold, by an independent reader), ``parse`` (references), ``check`` (may they be combined),
``combine``, ``write``, ``verify``, ``report``. Put ``scripts/`` on ``sys.path`` to import them.
"""

__version__ = "0.1.0"

"""What a container's store of Icechunk holds, which its types do not say.

The kinds of ``ObjectStoreConfig`` keep their options under ``_0`` and ``_1``, in the order in which
they are given (icechunk 2.3).

Remove when: they have names. Look for "ObjectStoreConfig options getter" at
https://github.com/earth-mover/icechunk/issues.
"""

from __future__ import annotations

from typing import Any

import icechunk


def s3_options(container: icechunk.VirtualChunkContainer) -> icechunk.S3Options:
    """The options of a store of the kind S3 or S3Compatible."""
    store: Any = container.store
    return store._0


def text_options(container: icechunk.VirtualChunkContainer) -> dict[str, str]:
    """The options of a store of the kind Gcs, Azure or Http, with the headers of the last."""
    is_http = isinstance(container.store, icechunk.ObjectStoreConfig.Http)
    store: Any = container.store
    headers = store._1 if is_http else None
    return {**(store._0 or {}), **(headers or {})}

"""An end for worker processes that nobody waits for any more.

Remove when: Python 3.14, whose ``ProcessPoolExecutor.terminate_workers`` does this, is the oldest
that is supported (https://github.com/python/cpython/issues/128041).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor


def terminate_workers(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool, whatever they are at."""
    for worker in list((pool._processes or {}).values()):
        worker.terminate()

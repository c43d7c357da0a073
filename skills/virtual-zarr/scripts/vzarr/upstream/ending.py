"""The end of a process that used Icechunk or obstore.

Their threads may drop a Python object while the interpreter takes itself apart, which ends the
process by SIGSEGV although its work is done (icechunk 2.3: 5 of 750 runs of ``verify`` beside other
work, each in ``TaskLocalsInner`` of pyo3-async-runtimes).

Remove when: these libraries stop their threads before the interpreter ends. See
https://github.com/PyO3/pyo3-async-runtimes/issues/40.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress


class Ending:
    """Ends this process behind all other handlers of ``atexit``, before Python takes itself apart.

    Make it before anything else registers there: the handler that came first runs last.
    """

    def __init__(self) -> None:
        self._status: int | None = None
        atexit.register(self._end)

    def leave(self, status: int) -> None:
        """End with this exit status, as ``sys.exit`` does.

        Raises
        ------
        SystemExit
            Always.
        """
        self._status = status
        sys.exit(status)

    def _end(self) -> None:
        if self._status is None:
            return  # something else ends the process, and knows how
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(self._status)

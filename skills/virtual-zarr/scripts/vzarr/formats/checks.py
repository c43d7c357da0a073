"""What a file declares, held against the limits before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable

from vzarr.limits import Declared, check
from vzarr.sources.content import Content


def check_arrays(
    content: Content, group: str, arrays: Iterable[Declared], drop: Iterable[str] = ()
) -> None:
    """Refuse a group whose arrays, without those in ``drop``, declare more than is allowed.

    Raises
    ------
    Refused
        With what leaves them out, and what allows them.
    """
    left_out = {f"{group}/{name}".lstrip("/") for name in drop}
    wanted = (array for array in arrays if array.path not in left_out)
    size = content.size + content.findings.referred_bytes
    check(content.url, size, wanted, content.findings.declared)

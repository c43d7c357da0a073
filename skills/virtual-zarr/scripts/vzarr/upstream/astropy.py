"""How the pixels of a FITS image are packed, which astropy takes out of a header when it opens it.

Remove when: astropy keeps BSCALE, BZERO and BLANK in the header of an image that it is told not to
scale, or names them. Look for "do_not_scale_image_data BSCALE header" at
https://github.com/astropy/astropy/issues (checked with 8.0).
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Packing(NamedTuple):
    """``blank``: the stored number that stands for no value, if there is one."""

    scale: float
    zero: float
    blank: int | None


def packing_of(hdu: Any) -> Packing:
    """The packing of an image HDU, as its file says it."""
    return Packing(float(hdu._orig_bscale), float(hdu._orig_bzero), hdu._orig_blank)

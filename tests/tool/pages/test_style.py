"""Colours that can be told from each other, and from what lies behind them."""

from __future__ import annotations

import re

import pytest
from vzarr.pages.style import DARK, LIGHT, STYLE


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it: 1 to 21."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["text", "faint", "good", "odd"])
def test_text_can_be_read(colours: dict[str, str], name: str) -> None:
    grounds = ["back", "panel", "empty"] if name == "text" else ["back"]
    assert min(contrast(colours[name], colours[ground]) for ground in grounds) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["virtual", "native", "odd", "replaced"])
def test_what_is_drawn_stands_out(colours: dict[str, str], name: str) -> None:
    assert min(contrast(colours[name], colours[ground]) for ground in ("back", "empty")) >= 3


def test_every_colour_is_defined() -> None:
    assert {*re.findall(r"var\(--([a-z]+)\)", STYLE)} - {"hatch"} <= {*LIGHT}
    assert LIGHT.keys() == DARK.keys()

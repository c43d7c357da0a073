"""Pictures of figures as SVG: a frame with a message, and in it panels with lines, dots and bars.

Light and dark as the reader's browser asks, on a ground of their own, so that they can be read
wherever they are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from jinja2 import Environment, StrictUndefined

WIDTH = 800
MARGIN = 24
COLOURS = {
    "back": ("#ffffff", "#14181d"),
    "text": ("#1b1f24", "#e3e8ee"),
    "faint": ("#57616b", "#9aa6b2"),
    "grid": ("#d0d7de", "#333c46"),
    "first": ("#1f6f8b", "#54b4d3"),
    "second": ("#c2331f", "#ff7a66"),
    "third": ("#b06f00", "#e8ab3c"),
    "fourth": ("#7a4fb5", "#b493ea"),
    "others": ("#8c959f", "#74808c"),
}
"""On a light and on a dark ground."""

TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}" role="img" \
aria-labelledby="title description">
<title id="title">{{ title }}</title>
<desc id="description">{{ description }}</desc>
<style>
svg { font: 15px system-ui, -apple-system, "Segoe UI", sans-serif; }
.message { font-size: 19px; font-weight: 600; } .panel { font-weight: 600; }
text { fill: {{ colours.text[0] }}; } line, polyline { fill: none; }
{% for name, (light, _) in colours.items() -%}
.{{ name }} { fill: {{ light }}; } line.{{ name }}, polyline.{{ name }} { stroke: {{ light }}; }
{% endfor -%}
polyline { stroke-width: 3; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
text { fill: {{ colours.text[1] }}; }
{% for name, (_, dark) in colours.items() -%}
.{{ name }} { fill: {{ dark }}; } line.{{ name }}, polyline.{{ name }} { stroke: {{ dark }}; }
{% endfor -%}
}
polyline { fill: none !important; }
</style>
<rect class="back" width="{{ width }}" height="{{ height }}" rx="6"/>
{% for kind, attributes, content in shapes -%}
<{{ kind }}{% for name, value in attributes.items() %} {{ name }}="{{ value }}"{% endfor %}\
{% if content %}>{{ content }}</{{ kind }}>{% else %}/>{% endif %}
{% endfor -%}
</svg>
"""


@dataclass
class Picture:
    """What is drawn. ``message``: lines that say what there is to see; ``description``: figures."""

    message: Sequence[str]
    height: int
    foot: str
    description: str
    shapes: list[tuple[str, dict[str, object], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, line in enumerate(self.message):
            self.text(MARGIN, 38 + 26 * number, line, "text message")
        self.text(MARGIN, self.height - 16, self.foot, "faint")

    @property
    def top(self) -> int:
        """Where panels begin, below the message."""
        return 38 + 26 * len(self.message)

    def text(self, x: float, y: float, content: str, kind: str = "text", at: str = "start") -> None:
        """A line of text; ``at``: "start", "middle" or "end" of it lies at x."""
        place = {"x": _n(x), "y": _n(y), "class": kind}
        self.shapes.append(
            ("text", place | ({"text-anchor": at} if at != "start" else {}), content)
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> None:
        """A thin line."""
        ends = zip(("x1", "y1", "x2", "y2"), map(_n, (x1, y1, x2, y2)), strict=True)
        self.shapes.append(("line", {"class": kind, **dict(ends)}, ""))

    def path(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """A line through points, with a dot at each."""
        points = list(points)
        told = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self.shapes.append(("polyline", {"class": kind, "points": told}, ""))
        for x, y in points:
            self.dot(x, y, kind, 4.5)

    def dot(self, x: float, y: float, kind: str, radius: float = 7) -> None:
        """A dot."""
        place = {"cx": _n(x), "cy": _n(y), "r": radius}
        self.shapes.append(("circle", {"class": kind, **place}, ""))

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A bar."""
        size = {"x": _n(x), "y": _n(y), "width": _n(width), "height": _n(height)}
        self.shapes.append(("rect", {"class": kind, **size}, ""))

    def as_svg(self) -> str:
        """The whole picture."""
        environment = Environment(autoescape=True, undefined=StrictUndefined)
        return environment.from_string(TEMPLATE).render(
            width=WIDTH,
            height=self.height,
            title=" ".join(self.message),
            description=self.description,
            colours=COLOURS,
            shapes=self.shapes,
        )


def linear(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    """From values between ``low`` and ``high`` to places between ``begin`` and ``end``."""
    return lambda value: begin + (value - low) / (high - low) * (end - begin)


def logarithmic(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    """As ``linear``, in tens."""
    inner = linear(math.log10(low), math.log10(high), begin, end)
    return lambda value: inner(math.log10(value))


def apart(places: Sequence[float], distance: float) -> list[float]:
    """Places of labels, moved so that none lies nearer to another; in the order in which they are
    given.
    """
    order = sorted(range(len(places)), key=lambda number: places[number])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + distance)
    # What was pushed down goes half of the way back, all together.
    shift = max((moved[n] - places[n] for n in order), default=0) / 2
    return [place - shift for place in moved]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

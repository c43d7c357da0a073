"""A report as HTML. Names and attributes are chosen by whoever made a file: all are escaped."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vzarr.pages.page import Page, TimelineView
from vzarr.pages.style import NOTEBOOK, STYLE
from vzarr.pages.template import FRAGMENT, TEMPLATE
from vzarr.text import printable


def render(page: Page) -> str:
    """The whole page."""
    return _environment().from_string(TEMPLATE).render(page=page, style=Markup(STYLE))


def fragment(
    title: str, rows: Sequence[tuple[str, object]], lines: Sequence[TimelineView] = ()
) -> str:
    """Timelines and a small table for a notebook."""
    template = _environment().from_string(FRAGMENT)
    return template.render(title=title, rows=rows, lines=lines, style=Markup(NOTEBOOK))


def _environment() -> Environment:
    return Environment(autoescape=True, undefined=StrictUndefined, finalize=_plain)


def _plain(value: object) -> object:
    """Text as a page can hold it: marks that turn the direction of writing are written out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(printable, value.split("\n")))
    return value

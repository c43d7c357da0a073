"""A report as HTML. Names and attributes are chosen by whoever made a file: all are escaped."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vzarr.pages.page import Page
from vzarr.pages.style import STYLE
from vzarr.pages.template import FRAGMENT, TEMPLATE
from vzarr.text import printable


def render(page: Page) -> str:
    """The whole page."""
    return _environment().from_string(TEMPLATE).render(page=page, style=Markup(STYLE))


def fragment(title: str, rows: Sequence[tuple[str, object]]) -> str:
    """A small table for a notebook."""
    return _environment().from_string(FRAGMENT).render(title=title, rows=rows)


def _environment() -> Environment:
    return Environment(autoescape=True, undefined=StrictUndefined, finalize=_plain)


def _plain(value: object) -> object:
    """Text as a page can hold it: marks that turn the direction of writing are written out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(printable, value.split("\n")))
    return value

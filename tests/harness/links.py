"""Links between Markdown files, and to headings in them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a file."""
    tokens = MarkdownIt("commonmark").parse(path.read_text())
    found: set[str] = set()
    for before, token in pairwise(tokens):
        if before.type != "heading_open":
            continue
        text = "".join(part.content for part in token.children or [])
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        number = 0
        unique = slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def links(path: Path) -> list[str]:
    """Targets of all links and images of a file, tables included."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text())
    return [
        str(part.attrs.get("href") or part.attrs.get("src"))
        for token in tokens
        for part in token.children or []
        if part.type in ("link_open", "image")
    ]


def broken_links(path: Path, inside: Path) -> list[str]:
    """Targets that do not exist, name no heading, or lie outside a folder. URLs are left alone."""
    broken = []
    for target in links(path):
        if re.match(r"[a-z]+:|\.\./\.\./actions/", target):  # the latter: pages of GitHub
            continue
        file, _, anchor = unquote(target).partition("#")
        linked = (path.parent / file).resolve() if file else path
        exists = linked.exists() and linked.is_relative_to(inside.resolve())
        if not exists or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    return broken

"""Write ``references/index.md``: where each quoted error, symptom and task of the bundle stands.

Errors come from the files themselves: every ``text`` fence below a block that raises or warns (the
tables of old forms are searched as they are). Symptoms and tasks, in users' words, are kept in
``tools/index.toml``; so is which piece of a long message is shown. ``python tools/index.py``
writes, with ``--check`` it only compares (exit status 1: stale). Needs the standard library only.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDEX = Path("references") / "index.md"
SOURCE = Path("tools") / "index.toml"
SHOWN = 62
"""Characters of a message that tell it from the others, as a rule."""

FIRST = ("troubleshooting.md", "references/faults.md", "references/", "skill.md", "examples.md")
"""Where one message stands in several files, the index leads to the first of these."""

_ERROR = re.compile(
    r"^(?:\w+\.)*(?P<error>\w*(?:Error|Exception|Warning|Refused): ?\S.*)", re.DOTALL
)
_CODE = re.compile(r"<Code>\w+|\(\w+\)(?=: Error \{)")
"""The error code in an answer of S3, as obstore and as Icechunk print it."""
_BEGINS = re.compile(
    r"\w+: (?:object store error|error fetching virtual reference:|Generic \w+ error:)"
)
_HEADING = re.compile(r"^(?P<marks>#{1,6}) (?P<title>.+)$")


class SourceError(ValueError):
    """What ``tools/index.toml`` says and the files do not, in one sentence."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next heading of its own or a higher level.

    ``errors`` are those that stand below no smaller heading.
    """

    file: str
    title: str
    anchor: str
    level: int
    text: str
    errors: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.file}#{self.anchor}"


def documents(root: Path) -> list[str]:
    """Files that are indexed, relative to the root."""
    names = ["skill.md", "examples.md", "troubleshooting.md"]
    names += sorted(path.relative_to(root).as_posix() for path in root.glob("references/*.md"))
    return [name for name in names if Path(name) != INDEX]


def anchor(title: str, taken: set[str]) -> str:
    """What GitHub makes of a heading; a repeated one gets a number."""
    slug = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
    unique, number = slug, 0
    while unique in taken:
        number += 1
        unique = f"{slug}-{number}"
    taken.add(unique)
    return unique


@dataclass
class _Line:
    """A line, whether it stands in a fence, and the info string of the fence that it opens."""

    text: str
    fenced: bool = False
    opens: str | None = None


def _lines(text: str) -> Iterator[_Line]:
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            yield _Line(line, True, None if fenced else line[3:])
            fenced = not fenced
        else:
            yield _Line(line, fenced)


def _errors(lines: list[_Line]) -> list[str]:
    """Messages quoted in some lines, in fences below blocks that raise or warn."""
    found: list[str] = []
    raises = False
    for number, line in enumerate(lines):
        if line.opens is not None:
            words = line.opens.split()
            if words[:1] == ["text"] and raises:
                quoted = []
                for below in lines[number + 1 :]:
                    if below.text.startswith("```"):
                        break
                    quoted.append(below.text)
                found.append("\n".join(quoted))
            if words[:1] in (["python"], ["text"]):
                raises = not {"raises", "warns"}.isdisjoint(words)
    matches = [_ERROR.match(text) for text in found]
    return [match["error"] for match in matches if match]


def sections(root: Path) -> list[Section]:
    """All sections of all indexed files, in their order."""
    found = []
    for file in documents(root):
        lines = list(_lines((root / file).read_text()))
        starts = [
            (number, match)
            for number, line in enumerate(lines)
            if not line.fenced and (match := _HEADING.match(line.text))
        ]
        taken: set[str] = set()
        for which, (number, match) in enumerate(starts):
            level = len(match["marks"])
            later = [(at, len(other["marks"])) for at, other in starts[which + 1 :]]
            end = next((at for at, other in later if other <= level), len(lines))
            own = later[0][0] if later else len(lines)
            found.append(
                Section(
                    file,
                    match["title"],
                    anchor(match["title"], taken),
                    level,
                    "\n".join(line.text for line in lines[number:end]),
                    tuple(_errors(lines[number:own])),
                )
            )
    return found


def holds(text: str, quoted: str) -> bool:
    """Whether a text holds the parts of a message that ``…`` separates, in their order."""
    parts = [re.escape(part.strip()) for part in quoted.split("…") if part.strip()]
    return re.search(r"[\s\S]*?".join(parts), text) is not None


def shortened(message: str) -> str:
    """The beginning of a message, up to where it varies; of a service's answer its code."""
    text = message.splitlines()[0]
    if code := _CODE.search(message):
        begins = _BEGINS.match(text)
        return f"{begins[0] if begins else text.partition(' ')[0]} … {code[0]}"
    text = text.partition("…")[0].strip()
    if len(text) <= SHOWN:
        return text
    return text[: SHOWN + 1].rpartition(" ")[0]


def rank(section: Section) -> int:
    return next(number for number, file in enumerate(FIRST) if section.file.startswith(file))


def error_rows(found: list[Section], pieces: list[str]) -> dict[str, Section]:
    """Section of each message, by the text that the index shows: a piece, or the beginning.

    Raises
    ------
    SourceError
        If a piece stands in no message, or two messages begin alike and no piece tells them apart.
    """
    rows: dict[str, Section] = {}
    messages: dict[str, str] = {}
    for section in sorted(found, key=rank):
        for error in section.errors:
            picked = [piece for piece in pieces if holds(error, piece)]
            text = max(picked, key=len) if picked else shortened(error)
            if text not in rows:
                rows[text], messages[text] = section, error
            elif not picked and not alike(error, messages[text]):
                raise SourceError(f"{SOURCE}: {section.where} and {rows[text].where}: {text}")
    if unused := [piece for piece in pieces if piece not in rows]:
        raise SourceError(f"{SOURCE}: no file quotes {unused}")
    return rows


def alike(one: str, other: str) -> bool:
    """Whether two messages begin alike, up to where either varies from run to run."""
    begins = [re.split(r"…|\d|\(|file:|'", text.splitlines()[0])[0] for text in (one, other)]
    return begins[0].startswith(begins[1]) or begins[1].startswith(begins[0])


def by_address(found: list[Section], where: str) -> Section:
    for section in found:
        if section.where == where:
            return section
    raise SourceError(f"{SOURCE}: no heading {where}")


def row(words: str, section: Section) -> str:
    title = re.sub(r"[`\[\]]", "", section.title)
    title = re.sub(r"^(T\d+): .*", r"\1", title)  # a trap is known by its number
    path = section.file.removeprefix("references/")
    path = path if path != section.file else f"../{path}"
    return f"- {words}: [{title}]({path}#{section.anchor})"


def as_code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def render(root: Path) -> str:
    """The whole of ``references/index.md``."""
    source = tomllib.loads((root / SOURCE).read_text())
    found = sections(root)
    parts = [source["head"].strip()]
    errors = error_rows(found, source["pieces"])
    for title, rows in {
        "By error text": {as_code(text): section for text, section in errors.items()},
        "By symptom": {w: by_address(found, at) for w, at in source["symptoms"].items()},
        "By task": {w: by_address(found, at) for w, at in source["tasks"].items()},
    }.items():
        parts.append(f"## {title}")
        ordered = sorted(rows, key=lambda words: words.strip("` ").lower())
        parts.append("\n".join(row(words, rows[words]) for words in ordered))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    path = arguments.root / INDEX
    try:
        text = render(arguments.root)
    except SourceError as error:
        print(f"index: {error}", file=sys.stderr)
        return 2
    if arguments.check:
        stale = not path.exists() or path.read_text() != text
        if stale:
            print(f"{INDEX.as_posix()}: stale; write it anew: uvx nox -s index", file=sys.stderr)
        return int(stale)
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Run the blocks of one section of ``references/formats*.md`` with nothing but what it installs.

``sections()`` lists them. ``python tools/sections.py NAME FOLDER`` runs one, in ``FOLDER``, whose
``data/formats/`` holds the samples; it needs the standard library and what the section installs.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Section:
    """``install`` holds the requirements of the section's line ``uv pip install …``."""

    name: str
    path: Path
    text: str
    install: tuple[str, ...]

    @property
    def extras(self) -> set[str]:
        """The extras of virtualizarr among them, that of the writer aside."""
        named = [re.findall(r"^virtualizarr\[(.*)\]", line) for line in self.install]
        return {extra for found in named for extra in "".join(found).split(",")} - {"", "icechunk"}


def sections() -> dict[str, Section]:
    """The sections of the pages on formats that have Python blocks, by their anchors."""
    found = {}
    for path in sorted((ROOT / "references").glob("formats*.md")):
        for part in re.split(r"^## ", path.read_text(), flags=re.MULTILINE)[1:]:
            heading, _, text = part.partition("\n")
            name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            lines = re.findall(r"^```bash\nuv pip install (.*)\n```$", text, flags=re.MULTILINE)
            install = tuple(shlex.split(lines[0])) if lines else ()
            if "```python" in text:
                found[name] = Section(name, path, text, install)
    return found


def run(section: Section) -> int:
    """Run the blocks as ``tests/harness`` does; returns how many.

    Raises
    ------
    AssertionError
        If a block prints something else than its ``#>`` lines, or raises something else than is
        quoted below it.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    fences = re.findall(r"^```(\w+)(.*)\n((?:.*\n)*?)```$", section.text, flags=re.MULTILINE)
    count = 0
    for number, (language, tags, source) in enumerate(fences):
        if language != "python":
            continue
        count += 1
        where = f"{section.name}, block {count}"
        code = compile(source, where, "exec")
        printed = io.StringIO()
        raised = ""
        with contextlib.redirect_stdout(printed):
            try:
                exec(code, names)
            except Exception as error:
                if "raises" not in tags.split():
                    raise
                raised = "".join(traceback.format_exception_only(error)).strip()
        if "raises" in tags.split():
            quoted = fences[number + 1][2].strip()
            pattern = ".*?".join(re.escape(part) for part in quoted.split("…"))
            matches = re.fullmatch(pattern, raised, flags=re.DOTALL)
            assert matches, f"{where} raised {raised!r}, the page quotes {quoted!r}"
        expected = re.findall(r"^ *#> (.*)$", source, flags=re.MULTILINE)
        assert printed.getvalue().splitlines() == expected, f"{where} printed {printed.getvalue()}"
    return count


if __name__ == "__main__":
    chosen, folder = sections()[sys.argv[1]], sys.argv[2]
    sys.path.append(str(ROOT / "scripts"))  # for blocks that call the tool
    os.chdir(folder)
    print(f"{chosen.name}: {run(chosen)} blocks ran")

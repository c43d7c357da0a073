"""Write README's table of what an agent reads, in tokens, as the tokenizer counts them.

``python tools/tokens.py`` writes, with ``--check`` it only compares (exit status 1: stale). Needs
the packages of the tests: the tokenizer comes from npm.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tools"), str(ROOT / "tests")]

import bundle  # noqa: E402
from harness.tokens import count_tokens  # noqa: E402

_ROW = re.compile(r"^(\| `?(?P<name>[\w./-]+)`? \| .* \| )(?P<count>[\d,]+)( \|)$", re.MULTILINE)


class TableError(ValueError):
    """A shipped document that the table lacks, or a row of none."""


def documents(root: Path) -> dict[str, str]:
    """Text of all that is shipped as Markdown, by the name of its row; the description first."""
    skill = (root / "skill.md").read_text()
    texts = {"description": yaml.safe_load(skill.split("---")[1])["description"], "SKILL.md": skill}
    for path, data in bundle.render(root).items():
        if path.endswith(".md"):
            texts.setdefault(path, data.decode())
    return texts


def shown(count: int) -> str:
    """A count as the table has it: to the next hundred, small ones exactly."""
    return f"{round(count, -2) if count > 999 else count:,}"


def with_counts(readme: str, counts: dict[str, int]) -> str:
    """README with the table's last column as counted.

    Raises
    ------
    TableError
        If rows and shipped documents differ.
    """
    rows = [row["name"] for row in _ROW.finditer(readme)]
    if differing := set(rows) ^ set(counts):
        raise TableError(f"a row without a document, or a document without a row: {differing}")
    return _ROW.sub(lambda row: f"{row[1]}{shown(counts[row['name']])}{row[4]}", readme)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text()
    try:
        counted = with_counts(text, count_tokens(documents(ROOT)))
    except TableError as error:
        print(f"README.md: {error}", file=sys.stderr)
        return 2
    if arguments.check:
        if counted != text:
            print("README.md: stale table of tokens; uvx nox -s tokens writes it", file=sys.stderr)
        return counted != text
    readme.write_text(counted)
    return 0


if __name__ == "__main__":
    sys.exit(main())

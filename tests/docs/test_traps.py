"""The trap watch says which trap changed; the table of traps.md and the sections agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from harness.blocks import read_chains
from harness.running import run_chain
from harness.traps import trap_of
from pytest_examples import EvalExample

TABLE = Path(__file__).parents[2] / "references" / "traps.md"
PAGES = sorted(TABLE.parent.glob("traps-*.md"))

DOCUMENT = """\
# Traps

## Numbers

The set-up.

```python
wrong = right = 4
```

### T98: Two and two make five

```python continues
total = 2 + 2
assert total == wrong
```

The right way.

```python continues
assert total == right
```

### T99: Text is no number

```python continues raises
int("two")
```

```text
ValueError: invalid literal for int() with base 10: 'two'
```
"""


@pytest.fixture
def run(
    tmp_path: Path, eval_example: EvalExample, clean_environment: Path
) -> Callable[[str], None]:
    def run_document(text: str) -> None:
        document = tmp_path / "traps.md"
        document.write_text(text)
        for chain in read_chains(document):
            run_chain(chain, eval_example)

    return run_document


def test_sound_traps_pass(run: Callable[[str], None]) -> None:
    run(DOCUMENT)


@pytest.mark.parametrize(
    ("old", "new", "line", "trap", "news"),
    [
        ("== wrong", "== 5", 13, "T98 (Two and two make five)", "fixed upstream, or changed"),
        ("== right", "== 5", 20, "T98 (Two and two make five)", "a way round that does not work"),
        ('int("two")', 'int("2")', 26, "T99 (Text is no number)", "fixed upstream, or changed"),
    ],
)
def test_a_changed_trap_is_named(
    run: Callable[[str], None], tmp_path: Path, old: str, new: str, line: int, trap: str, news: str
) -> None:
    assert old in DOCUMENT
    with pytest.raises(pytest.fail.Exception) as failure:
        run(DOCUMENT.replace(old, new))
    message = str(failure.value)
    assert message.startswith(f"trap {trap}, {tmp_path}/traps.md:{line}, with virtualizarr ")
    assert f"xarray {version('xarray')}" in message
    assert news in message


def test_set_up_belongs_to_no_trap(run: Callable[[str], None]) -> None:
    with pytest.raises(ZeroDivisionError):
        run(DOCUMENT.replace("= 4", "= 4 / 0"))


def test_every_trap_has_a_row_and_is_shown_both_ways() -> None:
    headings = [
        (name, page.name)
        for page in PAGES
        for name in re.findall(r"^### (T\d+): .+$", page.read_text(), flags=re.MULTILINE)
    ]
    rows = re.findall(r"^\| \[(T\d+)\]\((\S+)#\S+\)", TABLE.read_text(), flags=re.MULTILINE)
    assert sorted(headings) == sorted(rows)
    assert len(headings) == len(set(headings)) >= 42
    blocks: dict[str, list[bool]] = {}
    for chain in (chain for page in PAGES for chain in read_chains(page)):
        for block in chain.blocks:
            if trap := trap_of(block):
                blocks.setdefault(trap.name, []).append(trap.shows_wrong)
    assert blocks.keys() == {name for name, _ in headings}
    assert all(found.count(True) == 1 and found[0] for found in blocks.values())
    one_block = sorted(name for name, found in blocks.items() if len(found) < 2)
    print(one_block)
    assert one_block == []

"""Fenced blocks of Markdown files: how they are found, what their info string may say.

The vocabulary of info strings is closed and described in ``tests/README.md``. Whatever lies outside
it raises :class:`VocabularyError` while tests are collected, so the whole suite fails.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pytest_examples import CodeExample, find_examples
from worlds import NO_WORLD, WORLDS
from worlds.faults import FAULTS

LANGUAGES = {"python", "bash", "javascript", "json", "toml", "yaml", "text"}
TAGS = {"continues", "raises", "readers", "script", "warns"}
SETTINGS = {"world", "file", "fault"}
SECTION_HEADINGS = ("h1", "h2")
"""A chain of blocks stays inside one of these; smaller headings may divide it."""

GENERATED = ("skills/",)
"""Folders with generated copies of the bundle; their source is tested instead."""


class VocabularyError(ValueError):
    """A fence that the harness does not understand, with file and line."""


@dataclass(frozen=True)
class Fence:
    """One fenced block of any language. ``line`` is the line of the opening fence, from 1."""

    path: Path
    line: int
    info: str
    content: str
    markup: str
    heading: str

    @property
    def language(self) -> str:
        return self.info.split(maxsplit=1)[0] if self.info.strip() else ""

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Block:
    """A Python block and what its info string says of it."""

    example: CodeExample
    fence: Fence
    worlds: tuple[str, ...] = ()
    continues: bool = False
    raises: bool = False
    warns: bool = False
    script: bool = False
    readers: bool = False
    file: str = "block.py"
    fault: str | None = None
    quoted_error: str | None = None

    @property
    def is_module(self) -> bool:
        """Only defines, for blocks of any section of its document that import it."""
        return self.file != Block.file and not self.script


@dataclass(frozen=True)
class Chain:
    """A block and all that continue it: one test, one working directory, one world at a time.

    ``modules`` are the sources of the document's modules that its blocks import, by file name.
    """

    blocks: tuple[Block, ...]
    modules: dict[str, str] = field(default_factory=dict)

    @property
    def worlds(self) -> tuple[str, ...]:
        return self.blocks[0].worlds or (NO_WORLD,)

    @property
    def name(self) -> str:
        first = self.blocks[0].fence
        return f"{first.path.name}:{first.line}"


def bundle_documents(root: Path) -> list[Path]:
    """Every Markdown file at the top and in ``references/``, generated copies aside."""
    documents = [*root.glob("*.md"), *root.glob("references/**/*.md")]
    return sorted(
        path for path in documents if not path.relative_to(root).as_posix().startswith(GENERATED)
    )


def read_fences(path: Path) -> list[Fence]:
    """All fences of a file, by CommonMark's rules."""
    fences = []
    heading = ""
    tokens = MarkdownIt("commonmark").parse(path.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        opens_section = before is not None and before.type == "heading_open"
        if opens_section and before.tag in SECTION_HEADINGS:
            heading = f"{before.map[0]} {token.content}"
        elif token.type == "fence":
            fences.append(_fence(path, token, heading))
    return fences


def _fence(path: Path, token: Token, heading: str) -> Fence:
    return Fence(path, token.map[0] + 1, token.info, token.content, token.markup, heading)


def read_chains(path: Path) -> list[Chain]:
    """The Python blocks of a file, grouped into chains and checked against the vocabulary."""
    fences = read_fences(path)
    for fence in fences:
        _check_language(fence)
    examples = {example.start_line: example for example in find_examples(path)}
    python = [fence for fence in fences if fence.language == "python"]
    lines = {fence.line for fence in python}
    if lines != set(examples):
        odd = sorted(lines ^ set(examples))
        raise VocabularyError(
            f"{path}: pytest-examples and CommonMark disagree on the Python blocks at lines {odd}"
        )
    blocks = [_block(fence, examples[fence.line]) for fence in python]
    blocks = [_with_quoted_error(block, fences) for block in blocks]
    modules = {block.file: block.example.source for block in blocks if block.is_module}
    return [_with_modules(chain, modules) for chain in _chains(blocks)]


def _with_modules(chain: Chain, modules: dict[str, str]) -> Chain:
    """The chain with the modules that its blocks import, and those that these import."""
    needed: dict[str, str] = {}
    texts = [block.example.source for block in chain.blocks]
    while texts:
        source = texts.pop()
        for name, text in modules.items():
            imported = rf"^(?:from|import) {re.escape(name.removesuffix('.py'))}\b"
            if name not in needed and re.search(imported, source, flags=re.MULTILINE):
                needed[name] = text
                texts.append(text)
    return replace(chain, modules=needed)


def _check_language(fence: Fence) -> None:
    if fence.markup[0] != "`" or len(fence.markup) != 3:
        raise VocabularyError(f"{fence.where}: fence {fence.markup!r}; write ```")
    if fence.language not in LANGUAGES:
        known = ", ".join(sorted(LANGUAGES))
        raise VocabularyError(f"{fence.where}: language {fence.language!r}; known: {known}")
    if fence.language != "python" and fence.info.strip() != fence.language:
        raise VocabularyError(f"{fence.where}: only python blocks take attributes: {fence.info!r}")


def _block(fence: Fence, example: CodeExample) -> Block:
    block = Block(example, fence)
    for word in shlex.split(fence.info)[1:]:
        name, equals, value = word.partition("=")
        if name == "file" and re.fullmatch(r"\w+\.py", value):
            block = replace(block, file=value)
        elif name == "fault" and value in FAULTS:
            block = replace(block, fault=value)
        elif name == "world" and equals:
            worlds = tuple(value.split())
            unknown = [world for world in worlds if world not in WORLDS]
            if unknown or not worlds:
                known = ", ".join(sorted(WORLDS))
                raise VocabularyError(f"{fence.where}: unknown world {value!r}; known: {known}")
            block = replace(block, worlds=worlds)
        elif not equals and name in TAGS:
            block = replace(block, **{name: True})
        else:
            known = ", ".join([*sorted(TAGS), *(f'{name}="…"' for name in sorted(SETTINGS))])
            raise VocabularyError(f"{fence.where}: unknown attribute {word!r}; known: {known}")
    if block.continues and block.worlds:
        raise VocabularyError(f"{fence.where}: a continued block keeps the world it continues")
    if block.is_module and (block.continues or block.worlds or block.raises or block.warns):
        raise VocabularyError(f"{fence.where}: a module only defines, and stands by itself")
    if block.readers and not block.script:
        raise VocabularyError(f"{fence.where}: only a script runs with the packages of readers")
    if block.warns and (block.script or block.raises):
        raise VocabularyError(f"{fence.where}: warns goes with neither raises nor script")
    if block.raises and not block.script and "#> " in example.source:
        raise VocabularyError(f"{fence.where}: output of a block that raises is not checked")
    return block


def _with_quoted_error(block: Block, fences: list[Fence]) -> Block:
    if not (block.raises or block.warns):
        return block
    following = fences[fences.index(block.fence) + 1 :][:1]
    if not following or following[0].language != "text":
        raise VocabularyError(f"{block.fence.where}: no ```text fence quotes the error")
    if following[0].heading != block.fence.heading:
        raise VocabularyError(f"{block.fence.where}: the quoted error is in another section")
    return replace(block, quoted_error=following[0].content.strip())


def _chains(blocks: Iterable[Block]) -> Iterator[Chain]:
    chain: list[Block] = []
    for block in blocks:
        if not block.continues:
            if chain:
                yield Chain(tuple(chain))
            chain = [block]
            continue
        if not chain or chain[-1].fence.heading != block.fence.heading:
            raise VocabularyError(f"{block.fence.where}: nothing to continue in this section")
        chain.append(block)
    if chain:
        yield Chain(tuple(chain))


def output_lines(source: str) -> list[str]:
    """What the ``#>`` comments of a block say that it prints, line by line."""
    return re.findall(r"^ *#> (.*)$", source, flags=re.MULTILINE)

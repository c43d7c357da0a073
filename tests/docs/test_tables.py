"""Tables whose cells are code or error texts: all of it is executed.

``references/api-changes*.md`` have tables of old forms, what they give today, and new forms. Every
piece of inline code in the first and the last column runs. The second column quotes what each old
form must raise (``…`` is anything), or quotes nothing: it must not raise. ``skill.md`` has ten of
them without the errors, which must be among those that the reference quotes.

Errors that prose quotes inline must be quoted in full, below the block that raises them, somewhere
in the bundle, or be raised by the table of old forms.
"""

from __future__ import annotations

import pickle
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import icechunk
import obstore.store
import pytest
import virtualizarr
from harness.blocks import bundle_documents, read_chains, read_fences
from markdown_it import MarkdownIt
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.parsers import HDFParser, NetCDF3Parser

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skill.md"
DOCUMENTS = bundle_documents(ROOT)


def tables(path: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """The heading above each table, and its cells as Markdown source, header included."""
    heading = ""
    rows: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open":
            heading = token.content
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(token.content)
        elif token.type == "table_close":
            yield heading, rows
            rows = []


def table_rows(path: Path, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, header left out."""
    for title, rows in tables(path):
        if title == heading:
            return rows[1:]
    raise LookupError(f"{path.name}: no table below {heading!r}")


def code_spans(markdown: str) -> list[str]:
    """Contents of inline code, also of code in double backticks."""
    found = re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", markdown)
    return [content.strip() for _, content in found]


OLD_FORMS = table_rows(SKILL, "What you remember is old")
CHANGES = ROOT / "references" / "api-changes.md"
CHANGED_FORMS = [
    row
    for path in sorted(CHANGES.parent.glob("api-changes*.md"))
    for _, rows in tables(path)
    if rows[0][0] == "Old form"
    for row in rows[1:]
]
STORAGE = table_rows(SKILL, "Storage")
STORAGE += table_rows(ROOT / "references" / "storage.md", "Which constructors")


STORES = ("AzureStore", "GCSStore", "HTTPStore", "LocalStore", "S3Store")


@pytest.fixture
def names(enter_world: Callable[[str], None]) -> dict[str, object]:
    """What the cells of the tables may name."""
    enter_world("files")
    registry = ObjectStoreRegistry({"file://": obstore.store.LocalStore()})
    url = f"file://{Path('data/era5/era5_t2m_2024-01-01.nc').absolute()}"
    folder = f"file://{Path('data').absolute()}/"
    config = icechunk.RepositoryConfig.default()
    store = icechunk.local_filesystem_store(folder)
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(folder, store))
    access = {folder: icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage("repo")
    repo = icechunk.Repository.create(storage, config, authorize_virtual_chunk_access=access)
    return {
        "HDFParser": HDFParser,
        "access": access,
        "config": config,
        "icechunk": icechunk,
        "key": "AKIAIOSFODNN7EXAMPLE",
        "open_virtual_dataset": virtualizarr.open_virtual_dataset,
        "open_virtual_mfdataset": virtualizarr.open_virtual_mfdataset,
        "registry": registry,
        "repo": repo,
        "secret": "example",
        "session": repo.writable_session("main"),
        "storage": storage,
        "url": url,
        "vds": virtualizarr.open_virtual_dataset(url, registry=registry, parser=HDFParser()),
        **{name: getattr(obstore.store, name) for name in STORES},
    }


def test_there_are_ten_old_forms() -> None:
    assert len(OLD_FORMS) == 10


@pytest.fixture
def changed_names(enter_world: Callable[[str], None]) -> dict[str, object]:
    """What the cells of ``references/api-changes.md`` may name: its first block says."""
    enter_world("files")
    found: dict[str, object] = {
        "NetCDF3Parser": NetCDF3Parser,
        "ThreadPoolExecutor": ThreadPoolExecutor,
        "UTC": UTC,
        "datetime": datetime,
        "open_virtual_datatree": virtualizarr.open_virtual_datatree,
        "open_virtual_mfdataset": virtualizarr.open_virtual_mfdataset,
        "pickle": pickle,
    }
    exec(read_chains(CHANGES)[0].blocks[0].example.source, found)
    return found


def is_code(span: str) -> bool:
    """Not a lone word (the name of an argument), which prose may set as code too."""
    return any(sign in span for sign in "(.= ") and "…" not in span


def matches(raised: str, quoted: str) -> bool:
    """Whether an error begins with a quotation in which ``…`` is anything."""
    pattern = ".*".join(re.escape(part) for part in quoted.split("…"))
    return re.match(pattern, raised, flags=re.DOTALL) is not None


def check_old_form(row: list[str], names: dict[str, object]) -> None:
    """Each form of the first column gives what the second quotes."""
    quoted = next(iter(span for span in code_spans(row[1]) if ": " in span), None)
    forms = [span for span in code_spans(row[0]) if is_code(span)]
    assert forms
    for form in forms:
        raised = run_strictly(form, names)
        if quoted is None:
            assert raised is None, f"{form}: {raised}"
            continue
        assert raised is not None, f"{form}: raised nothing"
        assert matches(raised, quoted), f"{form}: {raised}"


def check_row(row: list[str], names: dict[str, object]) -> None:
    check_old_form(row, dict(names))
    check_new_forms(row, dict(names))


def run_strictly(code: str, names: dict[str, object]) -> str | None:
    """The error that some code raises, deprecations included."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", FutureWarning)
        try:
            exec(code, names)
        except Exception as error:
            return "".join(traceback.format_exception_only(error)).strip()
    return None


def check_new_forms(row: list[str], names: dict[str, object]) -> None:
    """Each piece of code in the last column runs without error or deprecation."""
    for form in filter(is_code, code_spans(row[-1])):
        raised = run_strictly(form, names)
        assert raised is None, f"{form}: {raised}"


@pytest.mark.parametrize("row", OLD_FORMS, ids=lambda row: row[0][:40])
def test_old_form_fails_as_the_reference_quotes(row: list[str], names: dict[str, object]) -> None:
    """Under an error that the long table quotes."""
    (form,) = code_spans(row[0])
    raised = run_strictly(form, names)
    assert raised is not None, f"{form}: raised nothing"
    quoted = [span for changed in CHANGED_FORMS for span in code_spans(changed[1]) if ": " in span]
    assert any(matches(raised, span) for span in quoted), f"{form}: {raised}"


@pytest.mark.parametrize("row", OLD_FORMS, ids=lambda row: row[-1][:40])
def test_new_form_works(row: list[str], names: dict[str, object]) -> None:
    check_new_forms(row, names)


@pytest.mark.parametrize("row", CHANGED_FORMS, ids=lambda row: row[0][:60])
def test_changed_form(row: list[str], changed_names: dict[str, object]) -> None:
    check_row(row, changed_names)


def test_no_old_form_is_gone() -> None:
    """Rows may be joined; what they execute stays."""
    forms = {span for row in CHANGED_FORMS for span in code_spans(row[0]) if is_code(span)}
    assert len(forms) >= 119


@pytest.mark.parametrize(
    "row",
    [
        ["`int('2')`", "`ValueError: invalid literal`", "`int(2)`"],
        ["`int('two')`", "`ValueError: another text`", "`int(2)`"],
        ["`int('two')`", "`TypeError: invalid literal`", "`int(2)`"],
        ["`int('two')`", "works", "`int(2)`"],
        ["`int('two')`, `int('2')`", "`ValueError: invalid literal`", "`int(2)`"],
        ["nothing to run", "`ValueError: invalid literal`", "`int(2)`"],
        ["`int('two')`", "`ValueError: invalid literal`", "`int('three')`"],
        ["`int('two')`", "`ValueError: invalid literal`", "`(1).missing()`"],
    ],
)
def test_wrong_rows_fail(row: list[str]) -> None:
    with pytest.raises(AssertionError):
        check_row(row, {})


@pytest.mark.parametrize("row", STORAGE, ids=lambda row: row[0])
def test_storage_cells_are_valid_calls(row: list[str], names: dict[str, object]) -> None:
    """Each call in the storage table takes the arguments it is given."""
    cells = [span for cell in row[1:] for span in code_spans(cell)]
    calls = [cell for cell in cells if cell.endswith(")") or cell.startswith("icechunk.")]
    assert calls
    for cell in calls:
        eval(cell, names)


def quoted_inline() -> Iterator[tuple[str, str]]:
    """Error texts in the inline code of every document, with the document's name."""
    for path in DOCUMENTS:
        prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for span in code_spans(prose):
            if re.match(r"^[\w.]*(Error|Exception|Warning): .", span):
                yield path.name, span


@cache
def raised_texts() -> list[str]:
    """The quotations that the blocks' own tests compare with what was raised."""
    fences = [fence for path in DOCUMENTS for fence in read_fences(path)]
    raised = [fence.content for fence in fences if fence.language == "text"]
    return raised + [quoted for row in CHANGED_FORMS for quoted in code_spans(row[1])]


@pytest.mark.parametrize(("document", "span"), list(quoted_inline()))
def test_errors_quoted_inline_are_raised_by_a_block(document: str, span: str) -> None:
    parts = [part.strip() for part in span.split("…")]
    assert any(all(part in text for part in parts) for text in raised_texts()), (
        f"{document}: {span}"
    )

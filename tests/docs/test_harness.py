"""The harness fails when it should: each test hands it a document with one fault."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest
from harness import network_guard
from harness.blocks import Chain, VocabularyError, read_chains
from harness.running import run_chain
from pytest_examples import EvalExample
from worlds import NO_WORLD, WORLDS
from worlds.entering import BUILDERS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(
    tmp_path: Path, eval_example: EvalExample, clean_environment: Path
) -> Callable[[str], None]:
    """Run all blocks of a document given as text."""

    def run_document(text: str) -> None:
        document = tmp_path / "document.md"
        document.write_text(dedent(text))
        for chain in read_chains(document):
            run_chain(chain, eval_example)

    return run_document


def collect(tmp_path: Path, text: str) -> None:
    document = tmp_path / "document.md"
    document.write_text(dedent(text))
    read_chains(document)


SOUND = """
    ## A section

    ```python
    total = 1 + 1
    print(total)
    #> 2
    ```

    ### Still the section

    ```python continues raises
    left = total
    int("two")
    ```

    ```text
    ValueError: invalid literal for int() with base 10: …
    ```

    ```python continues
    assert left == 2
    ```

    ```python script
    print("from another process")
    #> from another process
    ```
    """


def test_sound_document_passes(run: Callable[[str], None]) -> None:
    run(SOUND)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("#> 2", "#> 3"),
        ("    #> 2\n", ""),
        ("with base 10", "with base 11"),
        ("ValueError", "TypeError"),
        ('int("two")', 'int("2")'),
        ("#> from another process", "#> from this process"),
        ('print("from another process")', "raise SystemExit(1)"),
    ],
)
def test_wrong_output_or_error_fails(run: Callable[[str], None], right: str, wrong: str) -> None:
    assert right in SOUND
    with pytest.raises(pytest.fail.Exception):
        run(SOUND.replace(right, wrong))


def test_broken_block_fails(run: Callable[[str], None]) -> None:
    with pytest.raises(AssertionError):
        run(SOUND.replace("assert left == 2", "assert left == 3"))


def test_hanging_script_fails(run: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.running.SCRIPT_TIMEOUT", 0.5)
    with pytest.raises(pytest.fail.Exception, match="no end within"):
        run(SOUND.replace('print("from', 'import time; time.sleep(60)  # print("from'))


@pytest.mark.parametrize(
    ("fence", "message"),
    [
        ("```python skip", "unknown attribute 'skip'"),
        ('```python world="moon"', "unknown world 'moon'"),
        ('```python test="skip"', "unknown attribute"),
        ("```py", "language 'py'"),
        ("```pycon", "language 'pycon'"),
        ("```{python}", "language '{python}'"),
        ("```Python", "language 'Python'"),
        ("```", "language ''"),
        ("~~~python", "write ```"),
        ("````python", "write ```"),
        ("```bash continues", "only python blocks take attributes"),
        ("```python continues", "nothing to continue"),
        ("```python raises", "no ```text fence"),
        ("```python warns", "no ```text fence"),
        ("```python warns script", "neither raises nor script"),
        ('```python file="part.py" raises', "a module only defines"),
        ('```python file="part.py" world="files"', "a module only defines"),
    ],
)
def test_fences_outside_the_vocabulary_fail(tmp_path: Path, fence: str, message: str) -> None:
    closing = fence[: len(fence) - len(fence.lstrip("`~"))]
    with pytest.raises(VocabularyError) as raised:
        collect(tmp_path, f"{fence}\npass\n{closing}\n")
    assert message in str(raised.value)


MODULES = """
    ## A section

    ```python
    from outer import twice

    print(twice(2))
    #> 4
    ```

    ```python script
    import outer

    print(outer.twice(3))
    #> 6
    ```

    ## Another section

    ```python file="outer.py"
    from inner import FACTOR


    def twice(value):
        return FACTOR * value
    ```

    ```python file="inner.py"
    FACTOR = 2
    ```
    """


def test_blocks_import_the_modules_of_their_document(run: Callable[[str], None]) -> None:
    """Of any section, in this process and in that of a script; none stays imported."""
    run(MODULES)
    assert not {"outer", "inner"} & set(sys.modules)
    with pytest.raises(pytest.fail.Exception):
        run(MODULES.replace("FACTOR = 2", "FACTOR = 3"))


def test_module_of_a_test_is_not_the_document_s(
    run: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModuleType("outer")
    monkeypatch.setitem(sys.modules, "outer", other)
    run(MODULES)
    assert sys.modules["outer"] is other


DEPRECATING = """
    ## A section

    ```python{tag}
    import warnings

    warnings.warn("use new", {category})
    ```

    ```text
    DeprecationWarning: use …
    ```
    """


@pytest.mark.parametrize("tag", ["", " script"])
@pytest.mark.parametrize("category", ["DeprecationWarning", "FutureWarning"])
def test_deprecations_fail(run: Callable[[str], None], tag: str, category: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"{category}: use new"):
        run(DEPRECATING.format(tag=tag, category=category))


def test_deprecations_that_a_block_is_about_pass(run: Callable[[str], None]) -> None:
    run(DEPRECATING.format(tag=" warns", category="DeprecationWarning"))


@pytest.mark.filterwarnings("ignore:use new:UserWarning")
@pytest.mark.parametrize(
    ("right", "wrong"), [("use new", "take new"), ('new", DeprecationWarning', 'new", UserWarning')]
)
def test_other_warning_than_the_quoted_fails(
    run: Callable[[str], None], right: str, wrong: str
) -> None:
    text = DEPRECATING.format(tag=" warns", category="DeprecationWarning")
    with pytest.raises(pytest.fail.Exception, match="the Markdown quotes"):
        run(text.replace(right, wrong, 1))


def test_deprecation_inside_a_package_fails(run: Callable[[str], None]) -> None:
    with pytest.raises(pytest.fail.Exception, match="renamed from `virtualize` to `vz`"):
        run("```python\nimport virtualizarr\nimport xarray as xr\n\nxr.Dataset().virtualize\n```\n")


def test_block_hidden_from_one_parser_fails(tmp_path: Path) -> None:
    """pytest-examples sees blocks in HTML comments, a reader does not."""
    with pytest.raises(VocabularyError, match="disagree"):
        collect(tmp_path, "<!--\n```python\npass\n```\n-->\n")


def test_chain_ends_with_its_section(tmp_path: Path) -> None:
    block = "```python{}\npass\n```\n"
    with pytest.raises(VocabularyError, match="nothing to continue"):
        collect(tmp_path, f"## One\n\n{block.format('')}\n## Two\n\n{block.format(' continues')}")


def test_network_guard_refuses_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(network_guard.LOG_VARIABLE, str(log))
    with pytest.raises(PermissionError, match="network guard"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(PermissionError, match="network guard"):
        socket.getaddrinfo("example.org", 443)
    assert len(log.read_text().splitlines()) == 2


FAULTY_BUNDLE = {
    "broken.md": "```python\nassert 1 == 2\n```\n",
    "swallowed.md": """
```python
import socket

try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError:
    pass
```
""",
    "rust.md": """
```python
import obstore
from obstore.store import HTTPStore

try:
    obstore.get(HTTPStore.from_url("https://example.org", retry_config={"max_retries": 0}), "a")
except Exception:
    pass
```
""",
    "script.md": """
```python script
import socket

try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError:
    pass
```
""",
    "wrong_key.md": """
```python world="s3-wrong-key"
import obstore
from obstore.store import S3Store

obstore.list(S3Store("acme-climate-archive", region="us-west-2")).collect()
```
""",
    "no_key.md": """
```python world="s3-public"
import obstore
from obstore.store import S3Store

store = S3Store("acme-climate-archive", region="us-west-2", skip_signature=True)
obstore.list(store).collect()
```
""",
    "gcs_wrong_key.md": """
```python world="gcs-wrong-key"
import obstore
from obstore.store import GCSStore

obstore.list(GCSStore("acme-climate-archive")).collect()
```
""",
    "gcs_no_key.md": """
```python world="gcs-public"
import obstore
from obstore.store import GCSStore

obstore.list(GCSStore("acme-climate-archive", skip_signature=True)).collect()
```
""",
    "azure_wrong_key.md": """
```python world="azure-wrong-key"
import obstore
from obstore.store import AzureStore

obstore.list(AzureStore("archive", account_name="acmeclimate")).collect()
```
""",
    "azure_no_key.md": """
```python world="azure-public"
import obstore
from obstore.store import AzureStore

obstore.list(AzureStore("archive", account_name="acmeclimate", skip_signature=True)).collect()
```
""",
    "https_no_token.md": """
```python world="https-token"
import obstore
from obstore.store import HTTPStore

store = HTTPStore.from_url("https://archive.example.org")
obstore.get(store, "era5/era5_t2m_2024-01-01.nc")
```
""",
    "unused_role.md": '```python world="s3-ec2-role"\npass\n```\n',
}


def test_faulty_bundle_turns_the_suite_red(tmp_path: Path) -> None:
    """Every block of this bundle is at fault; the real test file runs it in its own pytest."""
    for name in ("harness", "worlds"):
        shutil.copytree(ROOT / "tests" / name, tmp_path / "tests" / name)
    (tmp_path / "tests" / "docs").mkdir()
    for name in ("conftest.py", "docs/test_blocks.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, text in FAULTY_BUNDLE.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "sound.md").write_text("```python\nassert 1 == 1\n```\n")
    command = [sys.executable, "-m", "pytest", "tests/docs/test_blocks.py", "-q", "-rA"]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    for name in FAULTY_BUNDLE:
        assert any(name in line for line in outcomes), f"{name} did not fail\n{done.stdout}"
    assert not any("sound.md" in line for line in outcomes)


def test_every_world_has_a_builder() -> None:
    assert set(BUILDERS) == {*WORLDS, NO_WORLD}


WRONG = {
    "s3-keys": "s3-wrong-key",
    "gcs-service-account": "gcs-wrong-key",
    "azure-key": "azure-wrong-key",
    "https-token": "https-wrong-token",
}
CREDENTIAL_BLOCKS = [
    pytest.param(chain, world, id=f"{chain.name}-{world}")
    for name in ("examples.md", "references/storage.md")
    for chain in read_chains(ROOT / name)
    for world in chain.worlds
    if world in WRONG
]


@pytest.mark.parametrize(("chain", "world"), CREDENTIAL_BLOCKS)
def test_block_with_a_wrong_credential_fails(
    chain: Chain,
    world: str,
    enter_world: Callable[[str], None],
    eval_example: EvalExample,
) -> None:
    """The bundle's own programs, each with a credential that the service refuses."""
    enter_world(WRONG[world])
    with pytest.raises((Exception, pytest.fail.Exception)):
        run_chain(chain, eval_example)

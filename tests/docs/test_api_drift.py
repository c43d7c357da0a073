"""Every call in every Python block, and in the tool, fits the installed packages.

Blocks run, so most drift shows anyway. This finds the rest, before it is run: arguments that
``**kwargs`` swallows, calls in branches that no block takes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import reader_environment
from harness.blocks import Block, bundle_documents, read_chains
from harness.calls import Names, Report, check_calls

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in bundle_documents(ROOT) if read_chains(path)]
TOOL = sorted((ROOT / "scripts").rglob("*.py"))


def check_document(path: Path) -> Iterator[tuple[Block, Report]]:
    """Each block with what was found in it; blocks of a chain share their names."""
    for chain in read_chains(path):
        names: Names = {}
        scripts = [block.file for block in chain.blocks if block.script]
        files = {file.removesuffix(".py") for file in (*scripts, *chain.modules)}
        for block in chain.blocks:
            if block.readers:  # of packages that are not installed here
                continue
            known = {} if block.script else names
            report, left = check_calls(block.example.source, known, files)
            if not block.script:
                names = left
            yield block, report


def test_calls_of_readers_fit_their_packages() -> None:
    """As below, by the interpreter of their environment."""
    blocks = [
        (chain, block)
        for path in DOCUMENTS
        for chain in read_chains(path)
        for block in chain.blocks
        if block.readers
    ]
    sources = [
        (block.example.source, [other.file.removesuffix(".py") for other in chain.blocks])
        for chain, block in blocks
    ]
    code = (
        "import json, sys; from harness.calls import check_calls; "
        "found = [check_calls(text, {}, set(files))[0] for text, files in json.load(sys.stdin)]; "
        "print(json.dumps([report.problems for report in found]))"
    )
    done = subprocess.run(
        [str(reader_environment.python()), "-W", "ignore", "-c", code],
        input=json.dumps(sources),
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(blocks) > 0
    assert [problem for problems in found for problem in problems] == []


def is_about_a_call(block: Block) -> bool:
    """The block shows the error that a wrong call gives."""
    about = r"(TypeError|AttributeError|ImportError|ModuleNotFoundError): "
    return block.raises and re.match(about, block.quoted_error or "") is not None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_calls_of_blocks_fit_the_installed_packages(path: Path) -> None:
    problems = [
        f"{path.name}:{block.fence.line} {problem}"
        for block, report in check_document(path)
        for problem in report.problems
        if not is_about_a_call(block)
    ]
    assert problems == []


@pytest.mark.parametrize("path", TOOL, ids=lambda path: path.name)
def test_calls_of_the_tool_fit_the_installed_packages(path: Path) -> None:
    report, _ = check_calls(path.read_text())
    assert report.problems == []


def test_most_calls_are_resolved() -> None:
    """A checker that resolves nothing finds nothing."""
    reports = [report for path in DOCUMENTS for _, report in check_document(path)]
    checked = Counter(name for report in reports for name in report.checked)
    unknown = sum(report.unknown for report in reports)
    assert checked.total() / (checked.total() + unknown) > 0.7
    for name in (
        "open_virtual_dataset",
        "open_virtual_mfdataset",
        "HDFParser",
        "ObjectStoreRegistry",
        "S3Store",
        "_VirtualiZarrDatasetAccessor.to_icechunk",
        "Repository.create",
        "Repository.open",
        "Repository.transaction",
        "Repository.readonly_session",
        "RepositoryConfig.set_virtual_chunk_container",
        "VirtualChunkContainer",
        "open_zarr",
    ):
        assert checked[name] > 2, name


IMPORTS = """\
from pathlib import Path
import icechunk
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import HTTPStore, LocalStore, S3Store, from_url
from virtualizarr import open_virtual_dataset, open_virtual_mfdataset
from virtualizarr.parsers import HDFParser
registry, url = ObjectStoreRegistry({"file://": LocalStore()}), "file:///a.nc"
"""
SOUND = [
    "vds = open_virtual_dataset(url, registry=registry, parser=HDFParser())\nvds.vz.nrefs()",
    "open_virtual_mfdataset([url], registry, HDFParser(), loadable_variables=[])",
    'S3Store("b", region="us-east-1", skip_signature=True)',
    'xr.open_dataset("a.nc", engine="h5netcdf", phony_dims="access")',
    "xr.open_zarr(url).isel(time=0).load()",
    "open_virtual_dataset(**{'url': url}, registry=registry, parser=HDFParser())",
    "Path('a').absolute().name.upper()",
    "xr.set_options(use_new_combine_kwarg_defaults=True)",
    "import numpy as np\nnp.finfo('f4').eps",
]
FAULTY = {
    "open_virtual_dataset(url)": "'registry'",
    "open_virtual_dataset(url, registry, HDFParser(), loadable=[])": "takes no loadable",
    "open_virtual_mfdataset([url], registry, HDFParser(), indexes={})": "swallows indexes",
    'S3Store("b", anonymous=True)': "swallows anonymous",
    'from_url("s3://b", anonymous=True)': "swallows anonymous",
    'HTTPStore.from_url("https://example.org", timeout=1)': "takes no timeout",
    'xr.open_dataset("a.nc", phoney_dims="access")': "swallows phoney_dims",
    "xr.set_options(use_new_defaults=True)": "swallows use_new_defaults",
    "HDFParser(skip_variables=[])": "takes no skip_variables",
    "from virtualizarr.parsers import GRIBParser": "virtualizarr.parsers has no GRIBParser",
    "import virtualizarr.readers": "no module virtualizarr.readers",
    'icechunk.StorageConfig.filesystem("repo")': "icechunk has no StorageConfig",
    "icechunk.RepositoryConfig.defaults()": "RepositoryConfig has no defaults",
    'icechunk.VirtualChunkContainer("s3://b/", icechunk.s3_store(), "n", 4)': "too many positional",
    'repo = icechunk.Repository.open(None)\nrepo.ancestry("main")': "too many positional arguments",
    'repo = icechunk.Repository.open(None)\nrepo.checkout("main")': "Repository has no checkout",
    "repo = icechunk.Repository.open(None)\nrepo.writable_session('main').store.commit('m')": (
        "IcechunkStore has no commit"
    ),
    'repo = icechunk.Repository.open(None)\nwith repo.transaction("main") as store:\n    pass': (
        "'message'"
    ),
    "repo = icechunk.Repository.open(None)\n"
    'with repo.transaction("main", message="m") as store:\n    store.commit("m")': (
        "IcechunkStore has no commit"
    ),
    "vds = open_virtual_dataset(url, registry, HDFParser())\n"
    'vds.vz.to_icechunk(None, append="time")': "takes no append",
    "def later():\n    HDFParser(groups='/')": "takes no groups",
    "[HDFParser(groups=name) for name in 'ab']": "takes no groups",
    "read = lambda: HDFParser(groups='/')": "takes no groups",
    "if False:\n    HDFParser(groups='/')": "takes no groups",
    "try:\n    HDFParser()\nexcept OSError:\n    HDFParser(groups='/')": "takes no groups",
}


@pytest.mark.parametrize("source", SOUND)
def test_sound_calls_pass(source: str) -> None:
    report, _ = check_calls(IMPORTS + source)
    assert report.problems == []


@pytest.mark.parametrize("source", FAULTY)
def test_faulty_calls_are_found(source: str) -> None:
    report, _ = check_calls(IMPORTS + source)
    assert len(report.problems) == 1
    assert FAULTY[source] in report.problems[0]


def test_names_shadowed_by_parameters_are_not_taken_for_imports() -> None:
    source = "def read(HDFParser):\n    HDFParser(groups='/')\n"
    report, _ = check_calls(IMPORTS + source)
    assert report.problems == []


def test_names_go_on_from_block_to_block() -> None:
    _, names = check_calls(IMPORTS + "repo = icechunk.Repository.open(None)")
    report, _ = check_calls('repo.ancestry("main")', names)
    assert len(report.problems) == 1

"""Links between the bundle's files, and to headings in them, resolve."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.blocks import bundle_documents
from harness.links import broken_links

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", bundle_documents(ROOT), ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    assert broken_links(path, ROOT) == []

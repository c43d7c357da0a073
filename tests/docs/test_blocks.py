"""Run every Python block of the bundle, each chain in each of its worlds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.blocks import Chain, bundle_documents, read_chains
from harness.running import run_chain
from pytest_examples import EvalExample
from worlds.faults import FAULTS
from worlds.proxy import Proxy

ROOT = Path(__file__).parents[2]
CASES = [
    pytest.param(chain, world, id=f"{chain.name}-{world}")
    for document in bundle_documents(ROOT)
    for chain in read_chains(document)
    for world in chain.worlds
]


@pytest.mark.parametrize(("chain", "world"), CASES)
def test_block(
    chain: Chain,
    world: str,
    enter_world: Callable[[str], None],
    eval_example: EvalExample,
    proxy: Proxy,
    record_property: Callable[[str, object], None],
) -> None:
    document = chain.blocks[0].fence.path.relative_to(ROOT)
    if world == chain.worlds[0]:
        record_property("blocks", (str(document), len(chain.blocks)))
    eval_example.set_config(line_length=100)
    enter_world(world)

    def inject(fault: str | None) -> None:
        proxy.fault = FAULTS[fault]() if fault else None

    run_chain(chain, eval_example, inject)

"""What a store keeps of itself, as types: its sources, and what became of their variables.

``repository.ledger`` writes and reads it; ``SCHEMA`` there counts its forms. JSON is its form in
storage, so these are types of dictionaries.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from vzarr.sources.discover import SourceRecord


class ReplacedRecord(SourceRecord):
    """A source whose place another took: ``by`` is that one's URL."""

    by: str


class GroupRecord(TypedDict):
    """One group: names of virtual and loaded variables; reasons, by name, of those that were copied
    (``native``) or left out (``dropped``); ``by_option`` were named by --drop.

    ``concat_dim`` is None where the group does not grow; ``lengths`` are each source's steps along
    it. ``source_group`` of the files lies here, if not the same; ``without_source`` names variables
    that have none. ``ways``: of ``combine.plan``, for variables whose files fill no regular grid;
    ``raw`` variables are as their files pack them, with what unpacks them beside. ``tolerance``:
    the share of a step by which a file's coordinates may differ from those that are stored.
    """

    concat_dim: str | None
    virtual: list[str]
    loaded: list[str]
    native: dict[str, str]
    dropped: dict[str, str]
    by_option: NotRequired[list[str]]
    lengths: list[int]
    source_group: NotRequired[str]
    without_source: NotRequired[list[str]]
    ways: NotRequired[dict[str, dict[str, Any]]]
    tolerance: NotRequired[float]
    raw: NotRequired[list[str]]


class StoredRecord(SourceRecord):
    """A source with its steps in one group."""

    length: int


class GroupInStore(GroupRecord):
    """A group with its sources, in the order of the store."""

    sources: list[StoredRecord]


def span_of(stored_group: GroupInStore, number: int) -> slice:
    """The steps of a source: those that it adds, or that the file has which it lies beside."""
    stop = sum(stored_group["lengths"][: number + 1])
    steps = stored_group["sources"][number].get("covers", stored_group["lengths"][number])
    return slice(stop - steps, stop)


class Plan(TypedDict):
    """What a build was asked for: a run that asks for the same goes on with it."""

    concat_dim: str | None
    drop: list[str]
    groups: list[str]
    prefixes: list[str]
    select: NotRequired[list[str]]
    inner: NotRequired[str]
    overlap: NotRequired[str]
    coord: NotRequired[dict[str, Any]]
    packing: NotRequired[str]


class StoreMetadata(TypedDict):
    """A whole store. ``groups`` by path, the root under an empty string.

    ``removed``: sources that were taken out; ``since_removal``: what these contradicted in
    attributes is not in the store.
    ``irregular``: the way that was asked for. ``moved``: what Kerchunk references begin with, and
    where that is now. ``select``: the messages of GRIB that it is of.
    ``inner``: a second dimension, along which files of the same records lie. ``overlap``: whose
    steps stay where neighbours repeat some. ``coord``: from where coordinates come that no file
    holds (``NamedCoordinates.rule``).
    While a build goes on, ``left_out`` has the reason for each file that is not in it, ``bytes``
    what was copied, and ``references`` their number.
    """

    concat_dim: str | None
    sources: list[SourceRecord]
    replaced: list[ReplacedRecord]
    removed: NotRequired[list[SourceRecord]]
    since_removal: NotRequired[bool]
    groups: dict[str, GroupRecord]
    version: NotRequired[str]
    schema: NotRequired[int]
    plan: NotRequired[Plan]
    left_out: NotRequired[dict[str, str]]
    bytes: NotRequired[dict[str, Any]]
    references: NotRequired[int]
    irregular: NotRequired[str | None]
    moved: NotRequired[tuple[str, str]]
    inner: NotRequired[str]
    select: NotRequired[list[str]]
    overlap: NotRequired[str]
    coord: NotRequired[dict[str, Any]]

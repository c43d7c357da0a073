"""Which files an append takes: new ones, those written again, those known already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import icechunk
import numpy as np

from vzarr.changes.append_request import AppendRequest
from vzarr.changes.stored_files import lacks_group, parsing_options, stored_part
from vzarr.combine.file_steps import is_gap
from vzarr.combine.groups import stored_groups
from vzarr.combine.merge import names_of
from vzarr.combine.named_coordinates import NamedCoordinates, give_coordinates, read_table
from vzarr.combine.record_dimension import has_no_records, no_records
from vzarr.combine.rows import with_both
from vzarr.combine.store_metadata import StoreMetadata, span_of
from vzarr.errors import InputError, Refused
from vzarr.repository.history import (
    is_same_content,
    what_changed,
)
from vzarr.sources.discover import Source, SourceRecord
from vzarr.verification.open import open_store
from vzarr.virtualize.model import ParsedFile, Unreadable
from vzarr.virtualize.pool import parse_files

Records = dict[str, tuple[object, np.ndarray]]
"""By group: the units, where they are not decoded, and the values of a record coordinate."""


@dataclass
class Sorted:
    """What is to be done with parsed files.

    ``replaced`` by the number of the source that is written over; ``renewed`` are those of them
    whose content is the same. ``known``, ``superseded`` and ``left_out`` as in ``Appended``.
    """

    replaced: dict[int, ParsedFile] = field(default_factory=dict)
    new: list[ParsedFile] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def with_new_content(self) -> list[str]:
        """The URLs of those that replace others, or their own state of before."""
        urls = [file.source.url for file in self.replaced.values()]
        return [url for url in urls if url not in self.renewed]


@dataclass(frozen=True)
class Wanted:
    """The ``sources`` that have to be looked into: new ones and those that changed since; the
    others as in ``Appended``.
    """

    sources: list[Source]
    known: dict[str, str]
    superseded: dict[str, str]
    removed: list[str]


def find_wanted(sources: list[Source], metadata: StoreMetadata) -> Wanted:
    """The files that an append has to look into.

    What was removed stays out where it comes with other files, as a pattern brings it.
    """
    gaps = [record for record in metadata["sources"] if is_gap(record)]
    taken_out = {record["url"]: record for record in [*metadata.get("removed", []), *gaps]}
    unchanged = [
        source.url
        for source in sources
        if source.url in taken_out and not what_changed(taken_out[source.url], source)
    ]
    removed = unchanged if len(unchanged) < len(sources) else []
    sources = [source for source in sources if source.url not in removed]
    wanted, known, superseded = [], {}, {}
    records_by_url = {record["url"]: record for record in metadata["sources"]}
    records_by_url = {url: one for url, one in records_by_url.items() if not is_gap(one)}
    gone = {record["url"]: record for record in metadata["replaced"]}
    for source in sources:
        record = records_by_url.get(source.url) or gone.get(source.url)
        if record is None or what_changed(record, source):
            wanted.append(source)
        elif source.url in records_by_url:
            known[source.url] = source.url
        else:
            superseded[source.url] = gone[source.url]["by"]
    return Wanted(wanted, known, superseded, removed)


def parse_wanted(
    request: AppendRequest, sources: list[Source], metadata: StoreMetadata
) -> tuple[list[ParsedFile], list[str]]:
    """The files with records, parsed; a sentence for each that was left out.

    Raises
    ------
    InputError
        For a file that cannot be read, unless such may be left out.
    """
    if not sources:
        return [], []
    results = parse_files(
        sources,
        request.access,
        workers=request.workers,
        dask=request.dask,
        progress=request.progress("parsed"),
        **parsing_options(metadata),
    )
    left_out = []
    for result in results:
        if isinstance(result, Unreadable):
            if not request.skip_bad:
                raise InputError(f"{result.reason} Nothing was committed.")
            left_out.append(result.reason)
    parsed, without = _with_given(request, results, metadata)
    left_out += without
    dimension = metadata["concat_dim"]
    is_empty = [has_no_records(file, dimension) for file in parsed]
    pairs = list(zip(parsed, is_empty, strict=True))
    left_out += [no_records(file, dimension) for file, empty in pairs if empty]
    return [file for file, empty in pairs if not empty], left_out


def _with_given(
    request: AppendRequest,
    results: list[ParsedFile | Unreadable],
    metadata: StoreMetadata,
) -> tuple[list[ParsedFile], list[str]]:
    """Parsed files with the coordinates that the store's rule, or a table, gives them.

    Also returns the sentences for those that get none.
    """
    parsed = [result for result in results if isinstance(result, ParsedFile)]
    rule, dimension = metadata.get("coord"), metadata["concat_dim"]
    if rule is None or dimension is None:
        if request.coord_table is not None:
            raise InputError("--coord-table: the store was built without one. Build it anew.")
        return parsed, []
    coordinates = NamedCoordinates(formats=rule["formats"])
    if rule["columns"] and parsed:
        if request.coord_table is None:
            columns = ", ".join(rule["columns"])
            raise InputError(
                f"{parsed[0].source.url}: the store takes {columns} from a table: name one that "
                "lists the new files with --coord-table."
            )
        table = read_table(request.coord_table, rule["columns"])
        coordinates = replace(table, formats=rule["formats"])
    given, left_out = [], []
    for file in parsed:
        try:
            values = coordinates.of(file.source.url)
            given.append(give_coordinates(file, values, dimension))
        except (InputError, Refused) as error:
            if not request.skip_bad:
                raise type(error)(f"{error} Nothing was committed.") from None
            left_out.append(str(error))
    return given, left_out


def sort_out(
    request: AppendRequest,
    parsed: list[ParsedFile],
    session: icechunk.Session,
    metadata: StoreMetadata,
) -> Sorted:
    """Which files take an old one's place, and which are new.

    Raises
    ------
    Refused
        For a file whose place another one has, unless such may be left out, or take it.
    """
    records = metadata["sources"]
    numbers = {record["url"]: number for number, record in enumerate(records)}
    todo = Sorted()
    spans = _spans(session.store, metadata)
    prints = {
        record["fingerprint"]: record["url"] for record in records if record.get("fingerprint")
    }
    gone = {record["url"]: record for record in metadata["replaced"]}
    fresh: dict[str, ParsedFile] = {}
    for file in parsed:
        source = file.source
        if source.url in numbers:
            _written_again(request, file, numbers[source.url], records, todo)
            continue
        if source.url in gone and is_same_content(gone[source.url], file):
            todo.superseded[source.url] = gone[source.url]["by"]
            continue
        url = prints.get(file.fingerprint or "", "")
        # Two large files may have the same fingerprint; then only their records tell.
        stored_records = (
            _records(fresh[url], metadata) if url in fresh else spans.get(numbers.get(url, -1))
        )
        if url and _equal(_records(file, metadata), stored_records):
            todo.known[source.url] = url
        elif (number := _same_records(file, spans, metadata)) is not None:
            if request.replace_known or is_gap(records[number]):
                rival = todo.replaced.get(number)
                if rival is None or rival.source.last_modified < source.last_modified:
                    todo.replaced[number] = file
            else:
                _refuse(
                    request,
                    f"{source.url}: has the same {metadata['concat_dim']} as "
                    f"{records[number]['url']}, but other content. Let it take "
                    "that file's place with --replace, or leave it out.",
                    todo,
                )
        else:
            todo.new.append(file)
            if file.fingerprint:
                prints[file.fingerprint] = source.url
                fresh[source.url] = file
    written = {file.source.url for file in todo.replaced.values()}
    todo.renewed = [url for url in todo.renewed if url in written]
    return todo


def _written_again(
    request: AppendRequest,
    file: ParsedFile,
    number: int,
    records: list[SourceRecord],
    todo: Sorted,
) -> None:
    """A file that is in and was written again: with the same content, or with another."""
    url = file.source.url
    if is_same_content(records[number], file):
        todo.replaced[number] = file
        todo.renewed.append(url)
    elif request.replace_known or is_gap(records[number]):
        todo.replaced[number] = file
    else:
        _refuse(
            request,
            f"{url}: {what_changed(records[number], file.source)} when it was committed. Take "
            "its new state with --replace, or name only new files.",
            todo,
        )


def _refuse(request: AppendRequest, sentence: str, todo: Sorted) -> None:
    if not request.skip_bad:
        raise Refused(sentence)
    todo.left_out.append(sentence)


def _spans(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> dict[int, Records]:
    """The records of each source, by its number, in groups that have a coordinate for them."""
    spans: dict[int, Records] = {number: {} for number in range(len(metadata["sources"]))}
    for group, stored_group in stored_groups(metadata).items():
        coordinate = open_store(store, group).coords.get(stored_group["concat_dim"])
        if coordinate is None:
            continue
        inner = open_store(store, group).coords.get(metadata.get("inner", ""))
        for number in spans:
            values = coordinate.values[span_of(stored_group, number)]
            spans[number][group] = (coordinate.attrs.get("units"), values)
            within = stored_group["sources"][number].get("within")
            if within and inner is not None:
                places = inner.values[slice(*within[1:])]
                spans[number][f"{group}/{within[0]}"] = (inner.attrs.get("units"), places)
    return spans


def _records(file: ParsedFile, metadata: StoreMetadata) -> Records:
    """As ``_spans``, of a file."""
    records: Records = {}
    dimension, inner = metadata["concat_dim"], metadata.get("inner")
    if dimension is not None and inner is not None:
        file = with_both(file, dimension, inner)
    for group, stored_group in stored_groups(metadata).items():
        if lacks_group(file, group):
            continue
        dataset = stored_part(file, group, stored_group).dataset
        if stored_group["concat_dim"] in dataset.indexes:
            coordinate = dataset[stored_group["concat_dim"]]
            records[group] = (coordinate.attrs.get("units"), coordinate.values)
        if inner is not None and inner in dataset.indexes:
            place = dataset[inner]
            records[f"{group}/{inner}"] = (place.attrs.get("units"), place.values)
    return records


def _equal(mine: Records, stored_records: Records | None) -> bool:
    """Whether two files have the same records, in all groups; true where none has any."""
    return stored_records is not None and all(
        group in stored_records
        and units == stored_records[group][0]
        and np.array_equal(values, stored_records[group][1])
        for group, (units, values) in mine.items()
    )


def _same_records(
    file: ParsedFile, spans: dict[int, Records], metadata: StoreMetadata
) -> int | None:
    """The number of the source that has just this file's records."""
    mine = _records(file, metadata)
    if not mine:
        return None
    numbers = [number for number, stored_records in spans.items() if _equal(mine, stored_records)]
    names = sorted(names_of(file))
    sources = metadata["sources"]
    own = [number for number in numbers if sources[number].get("variables", names) == names]
    return next(iter([*own, *numbers]), None)

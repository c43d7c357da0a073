"""Which group new files belong to, in a store that has one for each kind of files."""

from __future__ import annotations

import icechunk

from vzarr.changes.append_request import AppendRequest
from vzarr.changes.append_sorting import find_wanted, parse_wanted
from vzarr.combine.kinds import key_of, kinds_of, traits_of
from vzarr.errors import Refused
from vzarr.repository.ledger import read_ledger
from vzarr.sources.discover import Source


def sources_by_kind(
    request: AppendRequest, repository: icechunk.Repository, sources: list[Source]
) -> tuple[dict[str | None, list[Source]], list[str]]:
    """Files by the group that they belong to, None in a store without such groups.

    Also returns the sentences for those that belong nowhere.

    Raises
    ------
    Refused
        For the first of these, unless such may be left out.
    """
    session = repository.readonly_session("main")
    metadata = None if request.made_of else read_ledger(session.store)
    if metadata is None or not (kinds := kinds_of(metadata)) or metadata["concat_dim"] is None:
        return {None: sources}, []
    keys = {metadata["groups"][kind]["kind"]: kind for kind in kinds}
    places = {record["url"]: record.get("kind") for record in metadata["sources"]}
    wanted = find_wanted(sources, metadata).sources
    parsed, left_out = parse_wanted(request, wanted, metadata)
    for file in parsed:
        kind = keys.get(key_of(traits_of(file, metadata["concat_dim"])))
        if kind is None:
            sentence = (
                f"{file.source.url}: is of none of the kinds that the store has groups for "
                f"({', '.join(kinds)}). Build all anew, with --irregular groups."
            )
            if not request.skip_bad:
                raise Refused(sentence)
            left_out.append(sentence)
        places.setdefault(file.source.url, kind)
    by_kind: dict[str | None, list[Source]] = {}
    for source in sources:
        if kind := places.get(source.url):
            by_kind.setdefault(kind, []).append(source)
    return by_kind, left_out

"""Copy a repository to another disk or cloud: its commits, branches, tags and native chunks."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import icechunk
import zarr

from vzarr.errors import InputError, Refused
from vzarr.progress import Progress, silent
from vzarr.repository.claim import BUILDING
from vzarr.repository.commits import tips
from vzarr.repository.contents import list_manifests
from vzarr.repository.create import LAYOUT
from vzarr.repository.handle import is_of_a_disk
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import find_config, open_untrusted
from vzarr.repository.transfer import (
    ROOT_OBJECT,
    Objects,
    RootObject,
    StoredObject,
    copy_object,
    for_each,
    publish,
)
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import place_of, trust_copy

ROUNDS = 5
"""How often a copy begins anew since the source lost objects under it."""


@dataclass(frozen=True)
class Copied:
    """``copied`` of ``objects`` were missing; ``copied_bytes`` of ``bytes``. ``branches`` and
    ``tags`` by name, with the snapshot that each shows; empty where it was not done.
    """

    repository: str
    new: str
    objects: int
    bytes: int
    copied: int
    copied_bytes: int
    is_done: bool
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


@dataclass(frozen=True)
class _State:
    """One state of a repository: ``repo``, and all other objects that may belong to it."""

    root: RootObject
    others: dict[str, StoredObject]
    strange: list[str]


def copy(
    location: str,
    access: Access,
    new: str,
    new_access: Access,
    *,
    dry_run: bool = False,
    content: bool = False,
    progress: Progress = silent,
) -> Copied:
    """Copy a repository, or bring what an earlier copy lacks. Readers see all of it, or nothing.

    ``content``: compare the bytes of all objects, those of earlier runs, too.

    Raises
    ------
    InputError
        If there is no repository that can be copied, or ``new`` holds something else.
    Refused
        If ``new`` was written to since it was copied.
    """
    _check_apart(location, access, new, new_access)
    config = find_config(location, access)
    source = Objects(location, access)
    _check_source(location, access, source)
    with nullcontext() if dry_run else exclusive_lock(new):
        target = Objects(new, new_access, make=not dry_run)
        carry = partial(copy_object, source, target)
        for _ in range(ROUNDS):
            try:
                state = _read_state(source)
                before = target.root()
                missing = _missing(source, state, target, before)
                if dry_run:
                    return _result(location, new, state, missing, is_done=False)
                for_each(missing, carry, progress("copied"))
                if content:
                    old = state.others.keys() - missing.keys()
                    differing = _differing(source, target, state, old, progress)
                    for_each(differing, carry, progress("repaired"))
                    missing.update((name, state.others[name].size) for name in differing)
            except FileNotFoundError:
                continue  # expired and collected meanwhile: begin with what is there now
            break
        else:
            raise Refused(
                f"{location}: objects vanish while they are copied: another process collects what "
                "nothing refers to. Let it end and run it again."
            )
        _check_complete(target, state)
        if before is None or before.content != state.root.content:
            publish(target, state.root.content, before, is_conditional=_is_conditional(config))
        try:
            branches, tags = _check_opens(new, new_access, state)
        except BaseException:
            if before is None:
                target.remove(ROOT_OBJECT)
            raise
    trust_copy(location, access, new, new_access)
    done = _result(location, new, state, missing, is_done=True)
    done.branches.update(branches)
    done.tags.update(tags)
    done.notes.extend(_notes(config, source, state, new))
    return done


def _check_apart(location: str, access: Access, new: str, new_access: Access) -> None:
    here, server = place_of(location, access)
    there, new_server = place_of(new, new_access)
    inside = f"{here}/".startswith(f"{there}/") or f"{there}/".startswith(f"{here}/")
    if inside and server == new_server:
        raise InputError(f"{new}: is {location}, or lies in it or above it. Name another place.")


def _check_source(location: str, access: Access, source: Objects) -> None:
    if source.root() is None:
        raise InputError(
            f"{location}: is a repository of Icechunk 1, which has no single object that makes it "
            "visible: icechunk.upgrade_icechunk_repository makes it one of Icechunk 2."
        )
    repository = open_untrusted(location, access)
    branches, _ = tips(repository)
    main = branches.get("main")
    is_built = main == branches.get(BUILDING, main) and main is not None
    if BUILDING in branches and not (
        is_built and len(list(repository.ancestry(branch="main"))) > 1
    ):
        raise InputError(
            f"{location}: a build goes on here, or was stopped: run its command to its end first."
        )


def _read_state(source: Objects) -> _State:
    """``repo``, and a listing during which it did not change."""
    root = source.root()
    while True:
        listed = source.listed()
        now = source.root()
        if root is None or now is None:
            raise InputError(f"{source.location}: the repository was removed while this ran.")
        if now.content == root.content:
            break
        root = now
    own = {name for name in listed if LAYOUT.fullmatch(name) and "#" not in name}
    others = {name: listed[name] for name in sorted(own - {ROOT_OBJECT})}
    return _State(root, others, sorted(listed.keys() - own))


def _missing(
    source: Objects, state: _State, target: Objects, before: RootObject | None
) -> dict[str, int]:
    """What has to be copied, with its bytes.

    Raises
    ------
    InputError
        If something else lies there.
    Refused
        If what lies there was written to after it was copied.
    """
    present = target.listed()
    if before is not None and not _is_earlier(before, source, state):
        raise Refused(
            f"{target.location}: holds another repository, or a copy with commits of its own or "
            f"of a state that {source.location} has expired: it was left as it is. Name a new "
            "place."
        )
    own = {*state.others, ROOT_OBJECT} if before is None else present.keys()
    if strange := sorted(name for name in present if name not in own and "#" not in name):
        raise InputError(
            f"{target.location}: something else is there ({strange[0]}), and no copy of "
            f"{source.location}. Name a new place, or empty this one."
        )
    return {
        name: one.size
        for name, one in state.others.items()
        if name not in present or present[name].size != one.size
    }


def _is_earlier(before: RootObject, source: Objects, state: _State) -> bool:
    """Whether this is the source's ``repo``, or an earlier one, as the source keeps them."""
    if before.content == state.root.content:
        return True
    for name, one in state.others.items():
        could_be = name.startswith("overwritten/repo.") and one.size == len(before.content)
        if could_be and bytes(source.open(name).bytes()) == before.content:
            return True
    return False


def _differing(
    source: Objects, target: Objects, state: _State, others: set[str], progress: Progress
) -> list[str]:
    """Which of these objects have other bytes at the new place."""
    present = target.listed()
    unproven = [name for name in others if not present[name].has_checksum_of(state.others[name])]
    same = for_each(unproven, partial(_is_same, source, target), progress("compared"))
    return [name for name, is_same in same.items() if not is_same]


def _is_same(source: Objects, target: Objects, name: str) -> bool:
    return source.digest(name) == target.digest(name)


def _check_complete(target: Objects, state: _State) -> None:
    """Make sure that all objects are there, with the bytes that they have at the source.

    Raises
    ------
    Refused
        With one that is not.
    """
    present = target.listed()
    for name, one in state.others.items():
        if name not in present or present[name].size != one.size:
            raise Refused(
                f"{target.location}: {name} is not as it was copied there: another process writes "
                "or deletes there. Name a new place."
            )


def _is_conditional(config: icechunk.RepositoryConfig | None) -> bool:
    """Whether writes there may depend on what is there; a repository says so where they do not."""
    settings = config and config.storage
    return not settings or settings.unsafe_use_conditional_create is not False


def _check_opens(new: str, access: Access, state: _State) -> tuple[dict[str, str], dict[str, str]]:
    """Open the copy: each branch and tag, with all manifests that its snapshot needs."""
    repository = open_untrusted(new, access)
    branches, tags = tips(repository)
    for snapshot in sorted({*branches.values(), *tags.values()}):
        store = repository.readonly_session(snapshot_id=snapshot).store
        with suppress(FileNotFoundError):  # nothing was ever written to it
            list(zarr.open_group(store, mode="r").members())
        lacking = [
            one.id
            for one in list_manifests(repository, snapshot)
            if f"manifests/{one.id}" not in state.others
        ]
        if lacking:
            raise Refused(
                f"{new}: the snapshot {snapshot} needs the manifest {lacking[0]}, which the "
                "source lacks: the source is damaged, and cannot be copied."
            )
    return branches, tags


def _result(
    location: str, new: str, state: _State, missing: dict[str, int], *, is_done: bool
) -> Copied:
    root = len(state.root.content)
    return Copied(
        as_url(location),
        as_url(new),
        len(state.others) + 1,
        sum(one.size for one in state.others.values()) + root,
        len(missing),
        sum(missing.values()),
        is_done,
    )


def _notes(
    config: icechunk.RepositoryConfig | None, source: Objects, state: _State, new: str
) -> list[str]:
    notes = []
    now = source.root()
    if now is not None and now.content != state.root.content:
        notes.append(
            f"{source.location} was written to meanwhile: the same command brings the newer commits"
        )
    if state.strange:
        notes.append(f"not copied, since it is not Icechunk's: {', '.join(state.strange[:8])}")
    if not as_url(new).startswith("file://") and is_of_a_disk(config.storage if config else None):
        notes.append(
            "its settings were saved on a disk: writers that open it there by Icechunk itself undo "
            "each other's commits, unless their config.storage sets unsafe_use_conditional_update "
            "and unsafe_use_metadata to True; this tool does"
        )
    prefixes = sorted((config and config.virtual_chunk_containers) or {})
    local = [prefix for prefix in prefixes if prefix.startswith("file://")]
    if local and not as_url(new).startswith("file://"):
        notes.append(
            f"its references still lead to {', '.join(local)}: only machines that have these files "
            "can read them"
        )
    return notes

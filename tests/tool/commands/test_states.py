"""Whatever happens to an archive, in whatever order: the store reads as its sources, or it refuses.

A state machine (Hypothesis) delivers, re-issues, copies, withdraws and moves files, runs the tool
on them, kills it, lets another writer in between, expires and rewrites what is stored. After each
step the store is opened as a reader would, who authorizes what the tool printed, and compared with
the files by xarray alone.

A short run is the same every time. ``VZARR_STATES=random`` makes a long one with a seed of its own,
as the weekly workflow does.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import xarray as xr
from archives import (
    Archive,
    Edition,
    Layout,
    edition,
    shared_attributes,
    truth,
    wind_of,
    write_wind,
)
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from killing import Kill, Killed, another_writer, run_killed
from vzarr.changes.append_request import Appended
from vzarr.changes.build import build
from vzarr.changes.replacements import Refreshed
from vzarr.commands import add as adding
from vzarr.commands.add import Added, add
from vzarr.commands.append import append
from vzarr.commands.copy import copy
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.remove import Removed, remove
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    record = draw(st.sampled_from(["time", "time", "scalar", "none"]))
    steps, chunk = draw(st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 2), (3, 2)]))
    classic = draw(st.integers(0, 4)) == 0
    rooms = [((""),), ("a", "b")] if not classic else [((""),)]
    groups = draw(st.sampled_from(rooms))
    return Layout(
        record=record,
        groups=groups,
        still=groups != ("",) and record != "none" and draw(st.booleans()),
        steps=steps,
        chunk=1 if classic or record != "time" else chunk,
        packed=draw(st.booleans()),
        coordinates=draw(st.sampled_from(["both", "group", "variables", ""])),
        static=draw(st.booleans()),
        bounds=draw(st.booleans()),
        text=draw(st.booleans()) and not classic,
        classic=classic,
        telling=draw(st.booleans()),
        cut=draw(st.booleans()),
    )


kills = st.none() | st.builds(Kill, st.integers(0, 12), st.booleans(), st.booleans())
picks = st.integers(0, 1000)


class Archives(RuleBasedStateMachine):
    """``held``: what the store holds, by the files' names and in its order, as it was committed.

    ``winds``: what was added of another product, by the first days of these, and where it lies
    below the archive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = Path(tempfile.mkdtemp(prefix="states"))
        self.repository = str(self.room / "repository")
        self.held: dict[str, tuple[Edition, float]] = {}
        self.ever: set[Edition] = set()
        self.authorized: set[str] = set()
        self.copies = self.moves = self.places = 0
        self.removed: set[str] = set()
        self.winds: dict[int, str] = {}
        self.has_wind = False

    def teardown(self) -> None:
        shutil.rmtree(self.room)

    # What happens to the archive

    @initialize(layout=layouts(), count=st.integers(1, 3), batch=st.none() | st.just(1), kill=kills)
    def make(self, layout: Layout, count: int, batch: int | None, kill: Kill | None) -> None:
        self.layout = layout
        self.archive = Archive(self.room / "archive", layout, time.time() + 1000)
        start = 0
        for _ in range(count):
            content = edition(layout, start)
            if start and self._is_cut_short(content):
                break  # nothing can follow a file that ends in a part of a chunk
            self.archive.put(layout.name_of(start), content)
            start += content.steps
        note(f"{layout}, {count} files, batch {batch}, {kill}")
        patterns = [self.archive.path(name) for name in self.archive.files]
        options = {"concat_dim": layout.dimension, "batch": batch}
        if kill is not None:
            try:
                run_killed(kill, build, patterns, self.repository, Access(), **options)
            except Killed:
                event("build killed")
                self._check_nothing_is_half_shown()
        if kill is None or not self._is_shown():
            built = build(patterns, self.repository, Access(), **options)
            assert self.archive.path("")[:-1] in built.containers[0]
        self.authorized = set(self.containers())
        self._hold(dict(self.archive.files))

    @rule(
        what=st.sampled_from(
            ["deliver", "deliver", "reissue", "reissue", "touch", "copy", "final", "withdraw"]
        ),
        pick=picks,
        odd=st.integers(0, 9),
    )
    def change(self, what: str, pick: int, odd: int) -> None:
        """Files come, are written again with other or the same values, copied, or withdrawn."""
        name = self._pick(pick)
        content, _ = self.archive.files[name]
        if what == "deliver":
            self._deliver(odd)
        elif what == "reissue":
            self._reissue(name, odd)
        elif what == "touch":
            self.archive.touch(name)
        elif what in ("copy", "final"):
            self.copies += 1
            beside = name.replace(".nc", f"_{self.copies}.nc")
            if what == "final":
                self.archive.put(beside, replace(content, number=content.number + 1))
            else:
                shutil.copy(self.archive.path(name), self.archive.path(beside))
                self.archive.touch(beside, content)
        elif len(self.archive.files) > 1:
            self.archive.remove(name)

    def _deliver(self, odd: int = 9) -> None:
        """The next file; one that is too late, after a gap, or does not fit."""
        known = [content for content, _ in [*self.archive.files.values(), *self.held.values()]]
        start = max((content.days[-1] for content in known), default=0) + 1
        if odd == 0:
            start = min(content.start for content in known) - self.layout.steps
            if start < 0:
                return
        start += 20 * (odd in (1, 2))
        content = edition(self.layout, start)
        if odd == 3:
            content = replace(content, offset=12.0)
        if odd == 4:
            content = replace(content, mask=3)
        if odd == 5:
            content = replace(content, chunk=content.steps)
        self.archive.put(self.layout.name_of(start), content)

    def _reissue(self, name: str, odd: int = 9) -> None:
        """Other values; sometimes with another packing or mask, or a day more."""
        content, _ = self.archive.files[name]
        content = replace(content, number=content.number + 1)
        if odd == 0:
            content = replace(content, offset=11.0)
        if odd == 1:
            content = replace(content, mask=2)
        if odd == 2 and self.layout.record == "time":
            content = replace(content, steps=content.steps + 1)
        self.archive.put(name, content)

    # What is run on it

    @rule(
        fresh=st.integers(0, 2),
        all_files=st.booleans(),
        replacing=st.booleans(),
        skip_bad=st.booleans(),
        inserting=st.booleans(),
        kill=kills,
    )
    def append_files(
        self,
        fresh: int,
        all_files: bool,
        replacing: bool,
        skip_bad: bool,
        inserting: bool,
        kill: Kill | None,
    ) -> None:
        for _ in range(fresh):
            self._deliver()
        names = self._names()
        names = [name for name in names if all_files or name not in self.held]
        if not names:
            return
        expected = self._after_append(names, replacing)
        options = {"replace_known": replacing, "skip_bad": skip_bad, "insert": inserting}
        patterns = [self.archive.path(name) for name in names]
        done = self._run(kill, expected, append, patterns, self.repository, Access(), **options)
        if isinstance(done, Appended):
            self._take_over(done, expected)

    @rule(pick=picks, reissued=st.integers(0, 2), kill=kills, content=st.booleans())
    def refresh_sources(self, pick: int, reissued: int, kill: Kill | None, content: bool) -> None:
        for number in range(reissued):
            self._reissue(self._pick(pick + number))
        expected = self._after_refresh()
        done = self._run(kill, expected, refresh, self.repository, Access(), content=content)
        if isinstance(done, Refreshed):
            assert not done.vanished
            self._hold({name: self.archive.files[name] for name in self.held})

    @precondition(lambda self: len(self.held) > 1 and self.layout.record != "none")
    @rule(pick=picks, count=st.integers(1, 2), kill=kills)
    def remove_files(self, pick: int, count: int, kill: Kill | None) -> None:
        """Files are taken out; those that are still there stay out until they are named alone."""
        held = list(self.held)
        chosen = {held[(pick + number) % len(held)] for number in range(count)}
        if len(chosen) == len(held):
            return
        rest = {name: kept for name, kept in self.held.items() if name not in chosen}
        expected = None if self._stale() else rest
        gone = {self.held[name][0].start for name in chosen} & self.winds.keys()
        names = sorted({*chosen, *(self.winds[start] for start in gone)})
        paths = [self.archive.path(name) for name in names]
        # A run after one that was killed behind its commit finds them removed.
        done = self._run(kill, expected, remove, self.repository, Access(), paths)
        if isinstance(done, Removed):
            self._hold(rest)
            self.removed |= chosen
            self.winds = {start: name for start, name in self.winds.items() if start not in gone}

    @precondition(lambda self: self.layout.record == "time" and self.layout.groups == ("",))
    @rule(pick=picks, count=st.integers(1, 2), kill=kills, racing=st.booleans())
    def add_product(self, pick: int, count: int, kill: Kill | None, racing: bool) -> None:
        """Files of another product, beside those that are in; another machine appends meanwhile."""
        free = [held for held, _ in self.held.values() if held.start not in self.winds]
        chosen = free[pick % max(1, len(free)) :][:count]
        if not chosen:
            return
        self.places += 1
        winds = {each.start: f"winds{self.places}/{each.start:04d}.nc" for each in chosen}
        paths = [self.archive.path(name) for name in winds.values()]
        for path, content in zip(paths, chosen, strict=True):
            write_wind(Path(path), self.layout, content)
            os.utime(path, (1.7e9, 1.7e9))
        fits = all(self._begins_with_chunk(content) for content in chosen)
        expected = dict(self.held) if fits and not self._stale() else None
        if racing and expected is not None and kill is None and not self._is_last_cut_short():
            self._deliver()
            name = self._names()[-1]
            first = self._after_append([name], False)
            if first is not None and name not in self.held:
                with another_writer(
                    lambda: append([self.archive.path(name)], self.repository, Access()), adding
                ):
                    done = add(paths, self.repository, Access())
                event("two writers, one adds")
                self._hold(first)
                self.winds |= winds
                self.has_wind = True
                assert len(done.added) == len(chosen)
                return
        done = self._run(kill, expected, add, paths, self.repository, Access())
        if isinstance(done, Added):
            self.authorized |= set(done.containers)
            self.winds |= winds
            self.has_wind = True

    def _begins_with_chunk(self, content: Edition) -> bool:
        rows = np.cumsum([0, *(held.steps for held, _ in self.held.values())]).tolist()
        number = [held for held, _ in self.held.values()].index(content)
        start, stop, chunk = rows[number], rows[number + 1], self.layout.chunk
        return start % chunk == 0 and (stop % chunk == 0 or stop == rows[-1])

    def _is_last_cut_short(self) -> bool:
        return self._is_cut_short(list(self.held.values())[-1][0])

    @rule(kill=kills, everything=st.booleans())
    def move(self, kill: Kill | None, everything: bool) -> None:
        """The archive moves; where the store cannot follow it moves back."""
        self.moves += 1
        old, new = self.archive.folder, self.room / f"moved{self.moves}"
        expected = None if self._stale() else dict(self.held)
        everything = everything or expected is None
        self.archive.move(new)
        places = (self.repository, Access(), str(old), str(new))
        done = self._run(kill, expected, repoint, *places, everything=everything)
        if isinstance(done, Refreshed):
            self._hold({name: self.archive.files[name] for name in self.held})
            self.authorized |= {f"file://{new}/"}
        else:
            self.archive.move(old)

    @rule(pick=picks, replacing=st.booleans())
    def two_append(self, pick: int, replacing: bool) -> None:
        """Another machine appends, or follows a change, between reading and commit of the first."""
        self._deliver()
        names = self._names()
        patterns = [self.archive.path(name) for name in names]
        other = names[pick % len(names)]
        first = self._after_append([other], replacing)
        if first is None or self._after_append(names, replacing) is None:
            return
        before, self.held = self.held, first
        expected = self._after_append(names, replacing)
        self.held = before
        if expected is None:
            return  # the other writer's file is later than one of the others
        theirs = self.archive.path(other)
        seen: list[str] = []

        def write() -> None:
            done = append([theirs], self.repository, Access(), replace_known=replacing)
            seen.extend([*done.appended, *done.replaced])

        tip = self._tip()
        with another_writer(write):
            done = append(patterns, self.repository, Access(), replace_known=replacing)
        event(f"two writers, the other wrote {len(seen)}")
        assert not {*seen} & {*done.appended}, "a file was appended twice"
        assert (self._tip() == tip) == (expected == self.held)
        self.authorized |= set(done.containers)
        self._hold(expected)

    @rule(how=st.sampled_from(["expire", "amend", "rewrite"]))
    def maintain(self, how: str) -> None:
        """What Icechunk offers against long histories and large manifests."""
        repo = self._repo()
        if how == "expire":
            soon = datetime.now(UTC) + timedelta(seconds=1)
            repo.expire_snapshots(soon)
            repo.garbage_collect(soon)
        else:
            method = "amend" if how == "amend" else "new_commit"
            repo.rewrite_manifests("rewritten", branch="main", commit_method=method)

    @rule(kill=kills)
    def change_place(self, kill: Kill | None) -> None:
        """The repository is copied, after a kill too, and life goes on with the copy."""
        self.places += 1
        new = str(self.room / f"repository{self.places}")
        places = (self.repository, Access(), new, Access())
        if kill is not None:
            with suppress(Killed):
                run_killed(kill, copy, *places)
        tip = self._tip()
        assert copy(*places).branches["main"] == tip
        assert copy(*places).copied == 0
        shutil.rmtree(self.repository)
        self.repository = new

    @rule(by_values=st.booleans())
    def ask(self, by_values: bool) -> None:
        """``verify`` passes just if no source changed since; ``refresh --dry-run`` names these."""
        tip = self._tip()
        if by_values:
            report = verify_repository(self.repository, Access(), sample=None)
            assert report.passed == (not self._stale()), report.failures
            assert report.sources == len(self.held) + len(self.winds)
        else:
            found = refresh(self.repository, Access(), dry_run=True)
            gone = {name for name in self.held if name not in self.archive.files}
            assert {self.archive.name(url) for url in found.vanished} == gone
            changed = {self.archive.name(url) for url in found.changed}
            assert changed == self._stale() - gone
        assert self._tip() == tip

    @precondition(lambda self: self.held)
    @invariant()
    def store_reads_as_its_sources(self) -> None:
        session = self._repo().readonly_session("main")
        stale = self._stale()
        files = tuple(content for content, _ in self.held.values())
        expected = truth(self.layout, files)
        now, always = (shared_attributes(self.layout, each) for each in (files, self.ever))
        for group in self.layout.rooms:
            stored = xr.open_zarr(
                session.store, group=group or None, consolidated=False, chunks=None
            )
            if self.has_wind:
                self._check_wind(stored.variables["wind"])
                stored = stored.drop_vars("wind")
            if group in self.layout.groups or self.layout.still:
                assert set(stored.variables) == set(expected[group].variables)
                assert set(stored.coords) == set(expected[group].coords)
            for name in ("", *map(str, stored.variables)):
                attributes = (stored[name] if name else stored).attrs
                here = f"attributes of {group}/{name}"
                _check_attributes(attributes, now[group, name], always[group, name], here)
            for name, variable in stored.variables.items():
                self._check_values(str(name), variable, expected[group].variables[name], stale)

    # How it is judged

    def _check_wind(self, stored: xr.Variable) -> None:
        """There where it was added, and missing at all other records."""
        parts = [
            wind_of(content)
            if content.start in self.winds
            else np.full((content.steps, 2, 3), np.nan)
            for content, _ in self.held.values()
        ]
        np.testing.assert_array_equal(stored.values, np.concatenate(parts).astype("f4"))

    def _check_values(
        self, name: str, stored: xr.Variable, expected: xr.Variable, stale: set[str]
    ) -> None:
        """Equal, or an error for what lies in a file that changed."""
        assert stored.dims == expected.dims, name
        assert stored.shape == expected.shape, name
        spans: list[tuple[dict[str, slice], bool]] = [({}, bool(stale))]
        if self.layout.dimension in stored.dims and stale:
            ends = np.cumsum([0, *(content.steps for content, _ in self.held.values())])
            spans = [
                ({self.layout.dimension: slice(begin, end)}, key in stale)
                for key, begin, end in zip(self.held, ends, ends[1:], strict=False)
            ]
        for span, may_fail in spans:
            truth_here = expected.isel(span).values
            try:
                values = stored.isel(span).values
            except icechunk.IcechunkError:
                assert may_fail, f"{name} cannot be read, though its file did not change"
                continue
            assert _kind(values) == _kind(truth_here), name
            if values.dtype.kind == "f":
                np.testing.assert_allclose(values, truth_here, rtol=1e-6, err_msg=name)
            else:
                np.testing.assert_array_equal(values, truth_here, err_msg=name)

    def _run(
        self,
        kill: Kill | None,
        expected: dict[str, Any] | None,
        run: Callable[..., Any],
        *arguments: Any,
        **options: Any,
    ) -> Any:
        """What a command returns or refuses; that must be a sentence, and change nothing.

        ``expected``: what the store has to hold afterwards, or None if it may be refused; only
        where that is known is it killed, and run once more.
        """
        tip = self._tip()
        if kill is not None and expected is not None:
            try:
                done = run_killed(kill, run, *arguments, **options)
            except Killed:
                event(f"{run.__name__} killed")
                if self._tip() == tip and run is not repoint:  # whose files are gone by then
                    self.store_reads_as_its_sources()
                done = run(*arguments, **options)
            event(f"{run.__name__} done")
            return done
        done = _done_or_refused(run, *arguments, **options)
        if isinstance(done, Exception):
            event(f"{run.__name__} refused")
            note(f"{run.__name__}: {done}")
            assert expected is None, f"refused without need: {done}"
            assert self._tip() == tip
            assert str(done).endswith((".", ".)"))
            assert "\n" not in str(done)
        else:
            event(f"{run.__name__} done" + ("" if expected is None else " as expected"))
        return done

    def _after_append(
        self, names: list[str], replacing: bool
    ) -> dict[str, tuple[Edition, float]] | None:
        """What the store has to hold after an append of these; None where that is not certain."""
        files = self.archive.files
        changed = {name for name in names if name in self._stale()}
        if self.removed.intersection(names):
            return None  # stays out or comes back, as it is alone or was issued again
        others = {name for name in changed if files[name][0] != self.held[name][0]}
        if others and not replacing:
            return None
        if self._stale() - changed and not self.held.keys() - self._stale():
            return None  # nothing tells what is stored once
        if not all(self._fits(files[name][0], self.held[name][0]) for name in others):
            return None
        joined = {**self.held, **{name: files[name] for name in changed}}
        new = sorted((name for name in names if name not in self.held), key=self._order)
        for name in new:
            content = files[name][0]
            last = list(joined.values())[-1][0]
            if any(content == known for known, _ in joined.values()):
                continue  # a copy
            if any(content.start == known.start for known, _ in joined.values()):
                return None
            if self.layout.record != "none" and content.start <= last.days[-1]:
                return None
            if self._is_cut_short(last) or not self._fits(content, last, length=False):
                return None
            joined[name] = files[name]
        return joined

    def _after_refresh(self) -> dict[str, tuple[Edition, float]] | None:
        for name in self._stale():
            if name not in self.archive.files:
                return None
            if not self._fits(self.archive.files[name][0], self.held[name][0]):
                return None
        return {name: self.archive.files[name] for name in self.held}

    def _fits(self, content: Edition, other: Edition, length: bool = True) -> bool:
        same = content.chunk == other.chunk or self.layout.classic
        # What has no chunks of its own is one chunk, as long as the file.
        same &= content.steps == other.steps or (self.layout.classic and not length)
        same &= content.offset == other.offset or not self.layout.packed
        return same and (content.mask == other.mask or not self.layout.static)

    def _is_cut_short(self, content: Edition) -> bool:
        return bool(content.steps % content.chunk)

    def _take_over(self, done: Appended, expected: dict[str, tuple[Edition, float]] | None) -> None:
        """What the tool says that it did becomes what the store has to hold."""
        self.authorized |= set(done.containers)
        if expected is not None:
            self._hold(expected)
            return
        joined = dict(self.held)
        for name in map(self.archive.name, [*done.replaced, *done.renewed]):
            content, _ = self.archive.files[name]
            place = name if name in joined else self._with_records(joined, content)
            joined = {
                (name if key == place else key): (
                    self.archive.files[name] if key == place else kept
                )
                for key, kept in joined.items()
            }
        for name in sorted(
            map(self.archive.name, [*done.appended, *done.inserted]), key=self._order
        ):
            assert name not in joined, f"{name} was appended again"
            joined[name] = self.archive.files[name]
        if self.layout.record != "none":
            joined = dict(sorted(joined.items(), key=lambda item: item[1][0].start))
        self._hold(joined)

    def _with_records(self, joined: dict[str, tuple[Edition, float]], content: Edition) -> str:
        return next(name for name, (known, _) in joined.items() if known.start == content.start)

    def _hold(self, files: dict[str, tuple[Edition, float]]) -> None:
        self.held = dict(files)
        self.ever |= {content for content, _ in files.values()}

    def _stale(self) -> set[str]:
        """What the store holds of files that changed since."""
        return {name for name, kept in self.held.items() if self.archive.files.get(name) != kept}

    def _order(self, name: str) -> tuple[int, str]:
        content, _ = self.archive.files[name]
        return (content.start, name)

    def _pick(self, number: int) -> str:
        names = self._names()
        return names[number % len(names)]

    def _names(self) -> list[str]:
        return sorted(self.archive.files, key=self._order)

    def _repo(self) -> icechunk.Repository:
        access = dict.fromkeys(self.authorized, icechunk.credentials.LocalFileSystemAccess)
        storage = icechunk.local_filesystem_storage(self.repository)
        return icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)

    def _tip(self) -> str:
        return self._repo().lookup_branch("main")

    def containers(self) -> list[str]:
        return sorted(self._repo().config.virtual_chunk_containers or {})

    def _is_shown(self) -> bool:
        storage = icechunk.local_filesystem_storage(self.repository)
        if not icechunk.Repository.exists(storage):
            return False
        return len(list(icechunk.Repository.open(storage).ancestry(branch="main"))) > 1

    def _check_nothing_is_half_shown(self) -> None:
        if self._is_shown():
            self.authorized = set(self.containers())
            self._hold(dict(self.archive.files))
            self.store_reads_as_its_sources()
            self.held = {}


def _kind(values: np.ndarray) -> str:
    return "text" if values.dtype.kind in "OTU" else values.dtype.kind


def _done_or_refused(run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return run(*arguments, **options)
    except (InputError, Refused) as error:
        return error


def _check_attributes(
    stored: dict[str, Any], now: dict[str, Any], always: dict[str, Any], where: str
) -> None:
    """None that a file contradicts, and each that all files had at all times."""
    for key, value in stored.items():
        assert key in now, f"{where}: {key} is not that of all files"
        assert np.array_equal(value, now[key]), f"{where}: {key} is {value}, not {now[key]}"
    lost = always.keys() - stored.keys()
    assert not lost, f"{where}: lost {lost}"


@pytest.mark.slow
def test_store_follows_its_archive() -> None:
    at_random = os.environ.get("VZARR_STATES") == "random"
    run_state_machine_as_test(
        Archives,
        settings=settings(
            derandomize=not at_random,
            max_examples=100 if at_random else 16,
            stateful_step_count=20 if at_random else 12,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=at_random,
        ),
    )

"""No build removes what another one wrote; what a kill leaves at any step can be gone on with."""

from __future__ import annotations

import errno
import itertools
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import icechunk
import obstore
import pytest
import vzarr.changes.build as building
import vzarr.changes.build_commit as committing
import vzarr.repository.create as writing
from harness import warm_start
from making import Recipe
from mitmproxy import http
from obstore.exceptions import GenericError
from obstore.store import S3Store
from reliability.states import content
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository import claim as claims
from vzarr.repository.claim import BUILDING, MARKER, Claim
from vzarr.repository.lock import exclusive_lock as alone
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access
from worlds.faults import Fault
from worlds.proxy import Proxy
from worlds.s3 import ARCHIVE_BUCKET, S3, STORES_BUCKET

WEST = Access(region="us-west-2")
PLACE = f"s3://{STORES_BUCKET}/store"
SOURCES = [f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-0{day}.nc" for day in (1, 2, 3)]


@pytest.fixture
def s3(enter_world: Callable[[str], None], s3_server: S3, proxy: Proxy) -> Iterator[S3]:
    enter_world("s3-keys")
    yield s3_server
    proxy.fault = None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that gives no sign of life at once counts as dead."""
    monkeypatch.setattr(claims, "PATIENCE", 0.0)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    folder = tmp_path / "data"
    folder.mkdir()
    return [str(Recipe(start=2 * n).write(folder / f"f{n}.nc")) for n in range(3)]


def bucket(s3: S3) -> S3Store:
    """The bucket for stores, past the proxy and its faults."""
    return S3Store(
        STORES_BUCKET,
        endpoint="http://{}:{}".format(*s3.address),
        access_key_id=s3.user_keys["AWS_ACCESS_KEY_ID"],
        secret_access_key=s3.user_keys["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )


def stored(s3: S3) -> dict[str, bytes]:
    """All objects of the repository's prefix."""
    store = bucket(s3)
    listed = obstore.list(store, "store/").collect()
    return {item["path"]: bytes(obstore.get(store, item["path"]).bytes()) for item in listed}


def restore(s3: S3, state: dict[str, bytes]) -> None:
    store = bucket(s3)
    if held := list(stored(s3)):
        obstore.delete(store, held)
    for key, body in state.items():
        obstore.put(store, key, body)


def is_write(request: http.Request) -> bool:
    return request.method in ("PUT", "POST", "DELETE") and STORES_BUCKET in request.pretty_url


def check_whole(location: str, access: Access, files: int) -> None:
    """Main shows all files, they read right, and nothing of a build is left."""
    report = verify_repository(location, access, sample=None)
    assert (report.passed, report.compared) == (True, files), report.failures
    assert open_any_repository(location, access).list_branches() == {"main"}
    assert MARKER not in writing._objects(location, access)


def attempt(*arguments: object, **options: object) -> str:
    """Build; why it was refused, or an empty string."""
    try:
        build(*arguments, **options)
    except InputError as error:
        return str(error)
    return ""


def go_on(location: str, access: Access, sources: list[str], was_shown: bool) -> None:
    """The same command again, on what was left; where main showed all of it, it may say so."""
    refused = attempt(sources, location, access, batch=2)
    assert not refused or (was_shown and "something is there already" in refused)
    check_whole(location, access, len(sources))


def begin_anew(location: str, access: Access, sources: list[str], was_shown: bool) -> None:
    """Another command on what was left: it takes the place, or leaves what main shows."""
    refused = attempt(sources[:2], location, access, drop=("crs",))
    assert bool(refused) == was_shown, refused
    if was_shown:
        assert "something is there already" in refused
        assert verify_repository(location, access, sample=None).compared == len(sources)
    else:
        check_whole(location, access, 2)


def is_shown(location: str, access: Access) -> bool:
    if "repo" not in writing._objects(location, access):
        return False
    return len(list(open_any_repository(location, access).ancestry(branch="main"))) > 1


@pytest.mark.parametrize("then", [go_on, begin_anew])
def test_kill_after_each_request(
    s3: S3, proxy: Proxy, impatient: None, files: list[str], then: Callable[..., None]
) -> None:
    """What a kill leaves on S3 is what was written until then: every such state is tried.

    Past the proxy, once the states are known: it is most of what a request costs.
    """
    states: list[dict[str, bytes]] = []

    def keep(flow: http.HTTPFlow) -> None:
        state = stored(s3)
        if not states or copies_apart(state) != copies_apart(states[-1]):
            states.append(state)

    proxy.fault = Fault(after=keep, matches=is_write)
    build(files, PLACE, WEST, batch=2)
    proxy.fault = None
    assert list(states[0]) == [f"store/{MARKER}"], "the marker comes first"
    assert len(states) > 15
    straight = replace(WEST, repo_endpoint="http://{}:{}".format(*s3.address))
    for state in states:
        restore(s3, state)
        then(PLACE, straight, files, is_shown(PLACE, straight))


def copies_apart(state: dict[str, bytes]) -> dict[str, bytes]:
    """Without the older states of the repository, which Icechunk keeps and no reader needs."""
    return {key: body for key, body in state.items() if "/overwritten/" not in key}


STEPS = (
    (claims._Folder, "write"),
    (claims._Folder, "delete"),
    (icechunk.Repository, "create_branch"),
    (icechunk.Repository, "reset_branch"),
    (icechunk.Repository, "delete_branch"),
    (icechunk.Session, "commit"),
    (committing, "create_repository"),
    (committing, "write_datasets"),
)


@pytest.mark.parametrize("then", [go_on, begin_anew])
def test_kill_after_each_step_on_disk(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Callable[..., None]
) -> None:
    place = tmp_path / "repo"
    states: list[Path] = []

    def keep() -> None:
        states.append(tmp_path / f"state{len(states)}")
        if place.exists():
            shutil.copytree(place, states[-1])

    def stepping(step: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            result = step(*arguments, **options)
            keep()
            return result

        return run

    with monkeypatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, stepping(getattr(owner, name)))
        build(files, str(place), Access(), batch=2)
    assert len(states) >= 10
    for state in states:
        shutil.rmtree(place, ignore_errors=True)
        if state.exists():
            shutil.copytree(state, place)
        then(str(place), Access(), files, is_shown(str(place), Access()))
    if then is go_on:
        whole = tmp_path / "whole"
        build(files, str(whole), Access(), batch=2)
        assert content(place, tmp_path / "data") == content(whole, tmp_path / "data")


@pytest.mark.parametrize(
    "name", ["config.yaml", "repo", "overwritten/repo.1", "snapshots/A", "notes.txt", MARKER]
)
@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_what_is_not_ours_is_left(
    kind: str, name: str, files: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Names that Icechunk uses, too, in a folder that no build has begun."""
    if kind == "disk":
        place, access = str(tmp_path / "place"), Access()
        held = tmp_path / "place" / name
        held.parent.mkdir(parents=True)
        held.write_text("somebody else's")
    else:
        s3, place, access = request.getfixturevalue("s3"), PLACE, WEST
        restore(s3, {f"store/{name}": b"somebody else's"})
    with pytest.raises(InputError, match=r"something is there|no Icechunk repos|no build of this"):
        build(files, place, access)
    left = stored(s3) if kind == "s3" else {"": held.read_bytes()}
    assert list(left.values()) == [b"somebody else's"]


def test_what_came_later_is_left(files: list[str], tmp_path: Path, monkeypatch) -> None:
    """Somebody's file beside the remains of a build stays when these are removed."""
    place = tmp_path / "repo"
    leave(files, str(place), monkeypatch)
    (place / "chunks").mkdir(exist_ok=True)
    for name in ("notes.txt", "data/mine.nc"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("mine")
    Recipe(start=9, scale=0.25).write(Path(files[2]))
    with pytest.raises(Refused):
        build(files, str(place), Access())
    left = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert left == {"notes.txt", "data/mine.nc"}


class Killed(BaseException):
    """Stands for a kill: nothing cleans up."""


def leave(files: list[str], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build and stop before the first commit, as a kill does."""

    def stop(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_batch", stop)
        patch.setattr(writing, "_leave", lambda *arguments: None)
        with pytest.raises(Killed):
            build(files, place, Access())


def test_bad_input_leaves_remains(files: list[str], tmp_path: Path, monkeypatch) -> None:
    """A mistyped pattern costs nobody the batches that are written."""
    place = str(tmp_path / "repo")
    Path(files[2]).write_text("not a file of any format")
    with pytest.raises(InputError, match="2 of 3 files are written"):
        build(files, place, Access(), batch=1)
    with pytest.raises(InputError, match="no such file"):
        build([*files, "nowhere.nc"], place, Access(), batch=1)
    Recipe(start=4).write(Path(files[2]))
    assert build(files, place, Access(), batch=1).resumed == 2


def test_refused_build_leaves_an_empty_folder_empty(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    Recipe(start=4, scale=0.25).write(Path(files[2]))
    with pytest.raises(Refused):
        build(files, str(tmp_path / "repo"), Access())
    assert list((tmp_path / "repo").iterdir()) == []


DRIVER = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
import virtual_zarr, vzarr.changes.build, vzarr.cli.output
print("ready", flush=True)
for line in sys.stdin:
    with contextlib.redirect_stderr(io.StringIO()) as complaint:
        with contextlib.redirect_stdout(io.StringIO()):
            status = virtual_zarr.main(json.loads(line))
    print(json.dumps([status, complaint.getvalue()]), flush=True)
"""


class Running:
    """The tool in a process of its own, which begins when it is told to."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = warm_start.Process(script=DRIVER, text=True, **pipes)
        assert self.process.stdout.readline() == "ready\n"

    def begin(self, *arguments: str) -> None:
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        status, complaint = json.loads(self.process.stdout.readline())
        return status, complaint

    def stop(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture
def two() -> Callable[[], list[Running]]:
    """Two processes, which are stopped at the end."""
    running: list[Running] = []

    def start() -> list[Running]:
        running.extend([Running(), Running()])
        return running

    yield start
    for one in running:
        one.stop()


def check_race(ends: list[tuple[int, str]]) -> None:
    assert sorted(status for status, _ in ends) == [0, 2], ends
    complaint = max(ends)[1]
    assert len(complaint.splitlines()) == 1, complaint
    assert "another build" in complaint or "something is there already" in complaint


def test_two_builds_on_s3(
    s3: S3, proxy: Proxy, files: list[str], two: Callable[[], list[Running]]
) -> None:
    """The second begins when the first has sent one request that writes, or two, or all."""
    arguments = ["build", *files, "--repo", PLACE, "--region", "us-west-2", "--quiet"]
    first, second = two()
    writes: list[http.Request] = []
    proxy.fault = Fault(after=lambda flow: writes.append(flow.request), matches=is_write)
    first.begin(*arguments)
    assert first.end() == (0, "")
    assert len(writes) > 15
    for after in range(len(writes) + 1):
        restore(s3, {})
        reached, written = threading.Event(), itertools.count(1)

        def count(flow: http.HTTPFlow, after=after, reached=reached, written=written) -> None:
            if next(written) == after:
                reached.set()

        proxy.fault = Fault(after=count, matches=is_write)
        first.begin(*arguments)
        assert not after or reached.wait(60)
        second.begin(*arguments, "--batch", "1")
        check_race([first.end(), second.end()])
        proxy.fault = None
        check_whole(PLACE, WEST, len(files))


@pytest.mark.parametrize("step", ["lookup_branch", "readonly_session"])
def test_the_other_build_ends_in_between(
    step: str, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its branch goes away after it was seen: before it is looked up, or read."""
    place = tmp_path / "repo"
    build(files, str(place), Access())
    repository = open_any_repository(str(place), Access())
    repository.create_branch(BUILDING, repository.lookup_branch("main"))
    original = getattr(icechunk.Repository, step)

    def as_it_ends(self: icechunk.Repository, branch: str) -> object:
        with suppress(icechunk.RefNotFoundError):
            self.delete_branch(BUILDING)
        return original(self, branch)

    monkeypatch.setattr(icechunk.Repository, step, as_it_ends)
    with pytest.raises(InputError, match="something is there already"):
        build(files, str(place), Access())
    monkeypatch.undo()
    check_whole(str(place), Access(), len(files))


def test_a_place_that_cannot_be_looked_at_is_left(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker of a run that failed right after taking a place does not look alive."""
    look, calls = writing.look, itertools.count()

    def fail_later(*arguments: object) -> object:
        if next(calls) == 1:
            raise GenericError("503 Slow Down")
        return look(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "look", fail_later)
        with pytest.raises(GenericError):
            build(SOURCES[:1], PLACE, WEST)
    monkeypatch.setattr(claims, "PATIENCE", 60.0)
    begun = time.monotonic()
    build(SOURCES[:2], PLACE, WEST)
    assert time.monotonic() - begun < 30
    check_whole(PLACE, WEST, 2)


def test_two_builds_on_disk(
    files: list[str], tmp_path: Path, two: Callable[[], list[Running]]
) -> None:
    first, second = two()
    for number, delay in enumerate([*[0.0] * 3, *(0.02 * n for n in range(15)), 1.0]):
        place = str(tmp_path / f"repo{number}")
        arguments = ["build", *files, "--repo", place, "--quiet"]
        first.begin(*arguments)
        time.sleep(delay)
        second.begin(*arguments, "--batch", "1")
        check_race([first.end(), second.end()])
        check_whole(place, Access(), len(files))


def test_a_build_on_the_way_is_not_disturbed(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives signs of life for as long as it takes; the other one ends soon."""
    monkeypatch.setattr(claims, "BEAT", 0.1)
    monkeypatch.setattr(claims, "POLL", 0.05)
    with slowed(monkeypatch, committing, "create_repository") as (slow, reached, go):
        reached.wait(30)
        begun = time.monotonic()
        with pytest.raises(InputError, match=r"store: another build writes there. Let it end, or"):
            build(SOURCES[:2], PLACE, WEST)
        assert time.monotonic() - begun < 5
        go.set()
        slow.join(60)
        assert slow.error is None
    check_whole(PLACE, WEST, len(SOURCES))


class Slow(threading.Thread):
    """A build of all sources that stands still at a step until it may go on."""

    error: BaseException | None = None

    def run(self) -> None:
        try:
            build(SOURCES, PLACE, WEST, batch=2)
        except BaseException as error:
            self.error = error


class slowed:
    """A ``Slow`` build, and the events of its reaching the step and of its going on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self.slow, self.reached, self.go = Slow(), threading.Event(), threading.Event()
        step = getattr(owner, name)

        def wait(*arguments: object, **options: object) -> object:
            if threading.current_thread() is self.slow:
                self.reached.set()
                assert self.go.wait(60)
            return step(*arguments, **options)

        monkeypatch.setattr(owner, name, wait)

    def __enter__(self) -> tuple[Slow, threading.Event, threading.Event]:
        self.slow.start()
        return self.slow, self.reached, self.go

    def __exit__(self, *error: object) -> None:
        self.go.set()
        self.slow.join(60)


SEEMED_DEAD = {
    "before its first object": (committing, "create_repository"),
    "before a commit": (icechunk.Session, "commit"),
    "before main shows it": (icechunk.Repository, "reset_branch"),
    "before its branch goes": (icechunk.Repository, "delete_branch"),
}


@pytest.mark.parametrize("drop", [(), ("crs",)], ids=["the same", "another"])
@pytest.mark.parametrize("step", SEEMED_DEAD.values(), ids=SEEMED_DEAD)
def test_a_build_that_only_seemed_dead(
    s3: S3, impatient: None, monkeypatch: pytest.MonkeyPatch, step: tuple, drop: tuple[str, ...]
) -> None:
    """It stood still, as a suspended machine does; the next one took its place, and ended."""
    monkeypatch.setattr(claims, "BEAT", 60.0)
    shown = step[1] == "delete_branch"
    with slowed(monkeypatch, *step) as (slow, reached, go):
        assert reached.wait(30)
        if shown and drop:
            with pytest.raises(InputError, match="something is there already"):
                build(SOURCES, PLACE, WEST, batch=2, drop=drop)
        else:
            build(SOURCES, PLACE, WEST, batch=2, drop=drop)
        before = None if shown and drop else stored(s3)
        go.set()
        slow.join(60)
    if shown:
        assert slow.error is None, "main showed its work"
    else:
        assert isinstance(slow.error, InputError | Refused), slow.error
        assert "another build" in str(slow.error) or "something is there" in str(slow.error)
        assert before.items() <= stored(s3).items(), "the other one's repository has changed"
    check_whole(PLACE, WEST, len(SOURCES))


def test_a_build_that_only_seemed_dead_publishes_nothing_half_done(
    s3: S3, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes while the next one, which removed its work, is at its own."""
    monkeypatch.setattr(claims, "BEAT", 60.0)
    finish = building.finish
    with slowed(monkeypatch, icechunk.Repository, "reset_branch") as (slow, reached, go):
        assert reached.wait(30)

        def wake(*arguments: object) -> None:
            monkeypatch.setattr(building, "finish", finish)
            go.set()
            slow.join(60)
            finish(*arguments)

        monkeypatch.setattr(building, "finish", wake)
        built = build(SOURCES[:2], PLACE, WEST, drop=("crs",))
    assert isinstance(slow.error, InputError | Refused), slow.error
    assert (len(built.sources), is_shown(PLACE, WEST)) == (2, True)
    check_whole(PLACE, WEST, 2)


WORLDS = {
    "disk": "",
    "s3-keys": PLACE,
    "gcs-service-account": "gs://acme-virtual-stores/store",
    "azure-key": "az://stores/store",
}


def quiet(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("world", WORLDS)
def test_claim_in_each_storage(
    world: str,
    enter_world: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taken once, seen to be alive, taken over when it is not, noticed by who lost it."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acmeclimate")
    place = WORLDS[world] or str(tmp_path / "repo")
    if world != "disk":
        enter_world(world)
    access = Access(region="us-west-2")
    monkeypatch.setattr(claims, "BEAT", 0.2)
    monkeypatch.setattr(claims, "POLL", 0.05)
    first, second = Claim(place, access, False), Claim(place, access, False)
    assert first.take(True, quiet)
    assert first.since is not None
    with pytest.raises(InputError, match="another build writes there"):
        second.take(True, quiet)
    first._ended.set()  # as a kill does
    first._thread.join()
    monkeypatch.setattr(claims, "PATIENCE", 0.6)
    assert second.take(True, quiet)
    with pytest.raises(InputError, match="another build has taken this place"):
        first.check()
    with pytest.raises(InputError, match="another build has taken this place"):
        first.release()
    second.check()
    second.stop()
    third = Claim(place, access, False)
    monkeypatch.setattr(claims, "PATIENCE", 60.0)
    begun = time.monotonic()
    assert third.take(True, quiet)
    assert time.monotonic() - begun < 5, "what was stopped need not be waited for"
    third.release()
    assert writing._objects(place, access) == set()
    with pytest.raises(InputError, match="another build has taken"):
        second.check()


@pytest.mark.parametrize("world", list(WORLDS)[2:])
def test_remains_in_other_clouds(
    world: str,
    enter_world: Callable[[str], None],
    impatient: None,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A build that was killed goes on; another command replaces it; a refused one leaves none."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acmeclimate")
    enter_world(world)
    place, access = WORLDS[world], Access()
    leave(files, place, monkeypatch)
    assert MARKER in writing._objects(place, access)
    Path(files[2]).write_text("not a file of any format")
    with pytest.raises(InputError, match="plain text"):
        build(files, place, access)
    assert writing._objects(place, access) == set()
    leave(files[:2], place, monkeypatch)
    build(files[:2], place, access)
    check_whole(place, access, 2)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_lost_answer_to_the_marker(s3: S3, proxy: Proxy, number: int) -> None:
    """It was put, the answer never came, and the request was sent again: it is still ours."""
    seen = 0

    def lose(flow: http.HTTPFlow) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            flow.kill()

    def marks(request: http.Request) -> bool:
        return request.method == "PUT" and MARKER in request.path

    proxy.fault = Fault(after=lose, matches=marks)
    build(SOURCES, PLACE, WEST)
    assert seen > number
    check_whole(PLACE, WEST, len(SOURCES))


def test_user_who_may_not_delete(s3: S3, proxy: Proxy) -> None:
    """The marker stays, beside a repository that is whole and does not mind."""

    def deny(flow: http.HTTPFlow) -> None:
        body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        flow.response = http.Response.make(403, body, {"Content-Type": "application/xml"})

    def deletes(request: http.Request) -> bool:
        return request.method == "DELETE" or "delete" in request.path.partition("?")[2]

    proxy.fault = Fault(before=deny, matches=deletes)
    build(SOURCES, PLACE, WEST)
    proxy.fault = None
    assert f"store/{MARKER}" in stored(s3)
    assert verify_repository(PLACE, WEST, sample=None).passed
    before = stored(s3)
    for sources in (SOURCES, SOURCES[:2]):
        with pytest.raises(InputError, match="something is there already"):
            build(sources, PLACE, WEST)
    assert stored(s3) == before


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_file_systems_without_locks(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As NFS and Lustre may be: the marker alone tells that a build is alive."""
    import fcntl

    def refuse(handle: int, what: int) -> None:
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(claims, "BEAT", 0.1)
    monkeypatch.setattr(claims, "POLL", 0.05)
    place = str(tmp_path / "repo")
    with alone(place) as is_locked:
        assert not is_locked
    held = Claim(place, Access(), False)
    assert held.take(True, quiet)
    with pytest.raises(InputError, match="another build writes there"):
        build(files, place, Access())
    held.release()
    build(files, place, Access())
    check_whole(place, Access(), len(files))
    assert BUILDING not in open_any_repository(place, Access()).list_branches()

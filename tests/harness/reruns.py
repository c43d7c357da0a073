"""What meets a program in production: it runs again, is killed, or another run overtakes it.

``Watch`` stands between a program and Icechunk. It notes what is changed and where, and calls a
hook before each step, which may kill the program or let another one act. Processes of script blocks
are watched too, as the environment says (``site/sitecustomize.py``).
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

import icechunk
import zarr

CHANGES = {
    icechunk.Repository: (
        *("create", "create_branch", "create_tag", "delete_branch", "delete_tag"),
        *("expire_snapshots", "garbage_collect", "reset_branch", "rewrite_manifests"),
        *("save_config", "set_feature_flag", "set_metadata", "set_status", "update_metadata"),
    ),
    icechunk.Session: ("amend", "commit", "flush"),
}
"""Methods that change what others see of a repository."""
READS = {
    icechunk.Repository: (
        *("ancestry", "exists", "fetch_config", "list_branches", "list_tags", "lookup_branch"),
        *("lookup_tag", "open", "open_or_create", "readonly_session", "writable_session"),
    ),
}
"""Methods that show a repository's state: between two of them others may act."""
PARSES = ("open_virtual_dataset", "open_virtual_datatree", "open_virtual_mfdataset")
VARIABLE = "VIRTUAL_ZARR_RERUN"
"""Says to the process of a script, in JSON, how it is watched."""


class Killed(BaseException):
    """Ends a run where it stands, as SIGKILL ends the process of a script."""


class Watch:
    """Notes of one run.

    ``changes`` are the names of methods that changed a repository, in order; ``parsed`` counts
    files parsed; ``places`` has storage and authorization of each repository that was opened.
    Repositories in memory are left out: nothing of them outlives a run. ``hook`` gets this object
    and the name of the change, or an empty one, before each step.
    """

    def __init__(self, hook: Callable[[Watch, str], None] = lambda watch, name: None) -> None:
        self.hook = hook
        self.changes: list[str] = []
        self.parsed = 0
        self.steps = 0
        self.places: dict[str, tuple[icechunk.Storage, dict[str, Any]]] = {}
        self.is_asleep = False
        self._originals: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Watch:
        import virtualizarr

        for group in (CHANGES, READS):
            for owner, names in group.items():
                for name in names:
                    self._replace(owner, name, self._wrapped(name, group is CHANGES))
        for name in PARSES:
            self._replace(virtualizarr, name, self._counting)
        return self

    def __exit__(self, *error: object) -> None:
        for owner, name, original in reversed(self._originals):
            setattr(owner, name, original)

    def _replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        original = vars(owner)[name]
        self._originals.append((owner, name, original))
        if isinstance(original, classmethod | staticmethod):
            setattr(owner, name, type(original)(wrap(original.__func__)))
        else:
            setattr(owner, name, wrap(original))

    def _counting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **options: Any) -> Any:
            self.parsed += not self.is_asleep
            return original(*args, **options)

        return call

    def _wrapped(self, name: str, is_change: bool) -> Callable[[Any], Any]:
        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def call(*args: Any, **options: Any) -> Any:
                storage = _storage(args)
                if self.is_asleep or storage is None or "in-memory" in str(storage):
                    return _tagged(original(*args, **options), storage)
                with self.sleeping():
                    done = name if is_change else ""
                    if name == "open_or_create" and not icechunk.Repository.exists(storage):
                        done = "create"
                    if name == "save_config" and args[0].config == args[0].fetch_config(storage):
                        done = ""
                self.steps += 1
                self.hook(self, done)
                with self.sleeping():
                    result = original(*args, **options)
                if done:
                    self.changes.append(done)
                if isinstance(result, icechunk.Repository):
                    access = options.get("authorize_virtual_chunk_access")
                    self.places[str(storage)] = (storage, access or {})
                return _tagged(result, storage)

            return call

        return wrap

    @contextmanager
    def sleeping(self) -> Iterator[None]:
        """Let others, or Icechunk itself, use what is watched."""
        before, self.is_asleep = self.is_asleep, True
        try:
            yield
        finally:
            self.is_asleep = before


def _storage(args: tuple[Any, ...]) -> icechunk.Storage | None:
    for value in args[:2]:
        if isinstance(value, icechunk.Repository):
            return value.storage
        if isinstance(value, icechunk.Session):
            return vars(value).get("_watched_storage")
        if isinstance(value, icechunk.Storage):
            return value
    return None


def _tagged(result: Any, storage: icechunk.Storage | None) -> Any:
    """A session does not say which repository it belongs to."""
    if isinstance(result, icechunk.Session):
        result._watched_storage = storage
    return result


def one_change(watch: Watch, name: str) -> None:
    """A hook: kill the run before its second change."""
    if name and watch.changes:
        raise Killed(name)


def overtaking(step: int, act: Callable[[], None]) -> Callable[[Watch, str], None]:
    """A hook: another run does all its work before this one's step of that number, from 1."""

    def hook(watch: Watch, name: str) -> None:
        if watch.steps == step:
            with watch.sleeping():
                act()

    return hook


def watch_this_process() -> None:
    """For the process of a script: watch it as the variable says, until it ends."""
    asked = json.loads(os.environ.pop(VARIABLE))
    log = Path(asked["log"])

    def note(text: str) -> None:
        with log.open("a") as file:
            file.write(f"{text}\n")

    def hook(watch: Watch, name: str) -> None:
        if name and asked["do"] == "kill" and watch.changes:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "commit" and asked["do"] == "overtake":
            environment = {**os.environ, VARIABLE: json.dumps({"log": os.devnull, "do": ""})}
            subprocess.run(
                [sys.executable, "-W", "ignore", sys.argv[0]], check=True, env=environment
            )
        if name:
            note(name)

    _work_in_this_process()
    Watch(hook).__enter__()


def _work_in_this_process() -> None:
    """Workers become threads of a script, as each process of them imports for seconds.

    What befalls a script befalls its own process; real workers are met where its block is tested.
    """

    class InThisProcess(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, max_workers: int | None = None, mp_context: object = None) -> None:
            super().__init__(1)

        def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
            return super().submit(_as_if_sent, pickle.dumps((call, arguments, options)))

    concurrent.futures.ProcessPoolExecutor = InThisProcess
    if "LocalCluster" in Path(sys.argv[0]).read_text():
        import dask.distributed

        in_this_process = {"processes": False, "protocol": "tcp://"}  # and yet what is sent is sent
        cluster = partial(dask.distributed.LocalCluster, **in_this_process)
        dask.distributed.LocalCluster = cluster


def _as_if_sent(message: bytes) -> Any:
    """The result comes as from another process, and so did the call."""
    call, arguments, options = pickle.loads(message)
    return pickle.loads(pickle.dumps(call(*arguments, **options)))


@contextmanager
def scripts_watched(log: Path, do: str = "") -> Iterator[None]:
    """Watch the scripts that run meanwhile: ``do`` is nothing, ``kill`` or ``overtake``."""
    os.environ[VARIABLE] = json.dumps({"log": str(log), "do": do})
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def local_places(folder: Path) -> dict[str, tuple[icechunk.Storage, dict[str, Any]]]:
    """The repositories in a folder, for programs whose processes cannot be asked."""
    found = {}
    for path in sorted(folder.glob("*/repo")):
        storage = icechunk.local_filesystem_storage(path.parent.name)
        config = icechunk.Repository.fetch_config(storage)
        containers = (config and config.virtual_chunk_containers) or {}
        access = dict.fromkeys(containers, icechunk.credentials.LocalFileSystemAccess)
        found[str(storage)] = (storage, access)
    return found


def content(storage: icechunk.Storage, access: dict[str, Any]) -> dict[str, Any]:
    """What readers see of a repository's main: attributes and values of each array and group.

    It is opened as readers do: with the containers that the repository itself names.
    """
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    try:
        root = zarr.open_group(repo.readonly_session("main").store, mode="r")
    except FileNotFoundError:
        return {}  # nothing was committed
    seen = {"": dict(root.attrs)}
    for path, node in root.members(max_depth=None):
        seen[path] = dict(node.attrs)
        if isinstance(node, zarr.Array):
            values = node[...]
            exact = values.tobytes() if values.dtype.kind in "biufcmM" else values.tolist()
            seen[path] |= {"shape": node.shape, "dtype": str(node.dtype), "values": exact}
    return seen

"""Files that lead to other files: only those below folders that the user named are read."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import icechunk
import numpy as np
import obstore
import pytest
import xarray as xr
from harness import warm_start
from kerchunk.df import refs_to_dataframe
from obstore.store import S3Store
from pyhdf.SD import SD, SDC
from vzarr.sources.trust import is_below
from worlds.s3 import STORES_BUCKET

SECRET = b"aws_secret_access_key = made-up!"
COUNT = len(SECRET)


@pytest.fixture(autouse=True)
def secret(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private file in the home directory; the working directory is another one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(clean_environment.parent / "state"))
    folder = clean_environment.parent / "home" / ".private"
    folder.mkdir()
    (folder / "credentials").write_bytes(SECRET)
    (clean_environment / "data").mkdir()
    return folder / "credentials"


@pytest.fixture
def run(run: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
    """The same, which never says what is private."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        status, said = run(*arguments)
        assert "made-up" not in said
        return status, said

    return call


@pytest.fixture
def put(enter_world: Callable[[str], None], monkeypatch: pytest.MonkeyPatch):
    """Puts an object into a bucket of the S3 emulator, and returns its URL."""
    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REGION", "us-west-2")

    def call(key: str, data: bytes) -> str:
        obstore.put(S3Store(STORES_BUCKET), key, data)
        return f"s3://{STORES_BUCKET}/{key}"

    return call


def stored(repository: str = "repo") -> xr.Dataset:
    """What a repository holds itself, its coordinates and copies; without any authorization."""
    storage = icechunk.local_filesystem_storage(repository)
    session = icechunk.Repository.open(storage).readonly_session("main")
    return xr.open_zarr(session.store, consolidated=False, chunks=None, decode_cf=False)


def rest(file: h5py.File) -> None:
    """A coordinate and a harmless variable along it."""
    x = file.create_dataset("x", data=np.arange(COUNT, dtype="f8"))
    x.make_scale("x")
    file.create_dataset("v", data=np.arange(COUNT, dtype="f4")).dims[0].attach_scale(x)


def secret_h5(path: Path) -> Path:
    """A private HDF5 file."""
    with h5py.File(path, "w") as file:
        file["note"] = np.frombuffer(SECRET, "u1")
    return path


def external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("note", shape=(COUNT,), dtype="u1", external=[(str(secret), 0, COUNT)])


def relative_storage(file: h5py.File, secret: Path) -> None:
    external_storage(file, Path(os.path.relpath(secret)))


def several_storages(file: h5py.File, secret: Path) -> None:
    raw = Path("data/raw.bin")
    raw.write_bytes(bytes(8))
    parts = [(str(raw), 0, 8), (str(secret), 0, COUNT - 8)]
    file.create_dataset("note", shape=(COUNT,), dtype="u1", external=parts)


def storage_through_a_link(file: h5py.File, secret: Path) -> None:
    Path("data/raw.bin").symlink_to(secret)
    external_storage(file, Path("data/raw.bin"))


def storage_through_a_linked_folder(file: h5py.File, secret: Path) -> None:
    Path("data/more").symlink_to(secret.parent)
    external_storage(file, Path("data/more/credentials"))


def storage_through_dots(file: h5py.File, secret: Path) -> None:
    external_storage(file, Path("data", *[".."] * 2, "home", ".private", "credentials"))


def external_link(file: h5py.File, secret: Path) -> None:
    file["note"] = h5py.ExternalLink(str(secret_h5(secret.with_name("s.h5"))), "/note")


def relative_link(file: h5py.File, secret: Path) -> None:
    other = os.path.relpath(secret_h5(secret.with_name("s.h5")), "data")
    file["note"] = h5py.ExternalLink(other, "/note")


def link_through_a_link(file: h5py.File, secret: Path) -> None:
    Path("data/s.h5").symlink_to(secret_h5(secret.with_name("s.h5")))
    file["note"] = h5py.ExternalLink("s.h5", "/note")


def soft_link(file: h5py.File, secret: Path) -> None:
    file.create_group("room")["far"] = h5py.ExternalLink(
        str(secret_h5(secret.with_name("s.h5"))), "/"
    )
    file["note"] = h5py.SoftLink("room/./far/note")


def soft_link_to_a_soft_link(file: h5py.File, secret: Path) -> None:
    soft_link(file, secret)
    file["first"] = h5py.SoftLink("/room")
    del file["note"]
    file["note"] = h5py.SoftLink("/first/far/note")


def second_name(file: h5py.File, secret: Path) -> None:
    """A hard link to a dataset of another group."""
    file.create_dataset("room/deep", shape=(COUNT,), dtype="u1", external=[(str(secret), 0, COUNT)])
    file["note"] = file["room/deep"]


def virtual_dataset(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((COUNT,), "u1")
    other = secret_h5(secret.with_name("s.h5"))
    layout[:] = h5py.VirtualSource(str(other), "note", (COUNT,))
    file.create_virtual_dataset("note", layout)


def growing_virtual_dataset(file: h5py.File, secret: Path) -> None:
    """Its shape is looked for in the other file."""
    other = secret.with_name("s.h5")
    with h5py.File(other, "w") as hidden:
        hidden.create_dataset("note", data=np.frombuffer(SECRET, "u1"), maxshape=(None,))
    layout = h5py.VirtualLayout((COUNT,), "u1", maxshape=(None,))
    source = h5py.VirtualSource(str(other), "note", (COUNT,), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("note", layout)


def virtual_dataset_of_itself(file: h5py.File, secret: Path) -> None:
    file.create_dataset("room/deep", shape=(COUNT,), dtype="u1", external=[(str(secret), 0, COUNT)])
    layout = h5py.VirtualLayout((COUNT,), "u1")
    layout[:] = h5py.VirtualSource(".", "room/deep", (COUNT,))
    file.create_virtual_dataset("note", layout)


def a_part_that_leads_on(file: h5py.File, secret: Path) -> None:
    """A virtual dataset of a file beside it, whose values lie in the private one."""
    with h5py.File("data/part.h5", "w") as part:
        external_storage(part, secret)
    layout = h5py.VirtualLayout((COUNT,), "u1")
    layout[:] = h5py.VirtualSource("part.h5", "note", (COUNT,))
    file.create_virtual_dataset("note", layout)


def a_linked_file_that_leads_on(file: h5py.File, secret: Path) -> None:
    with h5py.File("data/part.h5", "w") as part:
        external_storage(part, secret)
    file["note"] = h5py.ExternalLink("part.h5", "/note")


def a_series_that_leads_on(file: h5py.File, secret: Path) -> None:
    Path("data/s0.h5").symlink_to(secret_h5(secret.with_name("s.h5")))
    space = h5py.h5s.create_simple((COUNT,), (h5py.h5s.UNLIMITED,))
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    mapped = h5py.h5s.create_simple((COUNT,), (h5py.h5s.UNLIMITED,))
    mapped.select_hyperslab((0,), (h5py.h5s.UNLIMITED,), (COUNT,), (COUNT,))
    source = h5py.h5s.create_simple((COUNT,))
    plan.set_virtual(mapped, b"s%b.h5", b"note", source)
    h5py.h5d.create(file.id, b"note", h5py.h5t.STD_U8LE, space, plan)


LEADING = [
    external_storage,
    relative_storage,
    several_storages,
    storage_through_a_link,
    storage_through_a_linked_folder,
    storage_through_dots,
    external_link,
    relative_link,
    link_through_a_link,
    soft_link,
    soft_link_to_a_soft_link,
    second_name,
    virtual_dataset,
    growing_virtual_dataset,
    virtual_dataset_of_itself,
    a_part_that_leads_on,
    a_linked_file_that_leads_on,
    a_series_that_leads_on,
]


def hostile(lead: Callable[[h5py.File, Path], None], secret: Path, name: str = "a.h5") -> Path:
    path = Path("data", name)
    with h5py.File(path, "w") as file:
        rest(file)
        lead(file, secret)
    return path


@pytest.mark.parametrize("lead", LEADING)
def test_hdf5_that_leads_to_a_private_file(lead, secret: Path, run) -> None:
    """Refused with the file that it wanted; without that variable the rest is built."""
    path = hostile(lead, secret)
    status, said = run("build", path, "--repo", "repo")
    assert status == 2
    assert f"{secret.parent}/" in said
    assert "below no folder that was named" in said
    assert "--drop note" in said or "--drop room/deep" in said
    assert not Path("repo").exists()
    status, said = run("inspect", path)
    assert status == 1
    drop = ["--drop", "note", *(["--drop", "room"] if "room" in said else [])]
    status, said = run("build", path, "--repo", "repo", *drop)
    assert status == 0, said
    assert set(stored().variables) == {"v", "x"}
    assert run("verify", "--repo", "repo", "--all")[0] == 0
    status, said = run("build", path, "--repo", "trusted", "--trust", secret.parent)
    assert status == 0, said
    assert stored("trusted")["note"].values.tobytes() in (SECRET, bytes(8) + SECRET[:-8])
    assert run("verify", "--repo", "trusted", "--all")[0] == 0


def test_the_home_directory_does_not_name_what_is_hidden_in_it(
    secret: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parents[1])
    Path("data").mkdir()
    path = hostile(external_storage, secret)
    path = path.rename("a.h5")
    status, said = run("build", path, "--repo", "repo")
    assert status == 2
    assert str(secret) in said
    secret.rename("plain.bin")
    with h5py.File("a.h5", "w") as file:
        rest(file)
        external_storage(file, Path("plain.bin").absolute())
    assert run("build", path, "--repo", "repo")[0] == 0


def test_files_beside_the_named_ones_are_read(run) -> None:
    """What the tool copied before, it copies still: parts in the folder that was named."""
    np.arange(COUNT, dtype="u1").tofile("data/raw.bin")
    with h5py.File("data/part.h5", "w") as part:
        part["note"] = np.arange(COUNT, dtype="u1")
    path = hostile(lambda file, _: external_storage(file, Path("data/raw.bin")), Path())
    with h5py.File(path, "a") as file:
        file["far"] = h5py.ExternalLink("part.h5", "/note")
        layout = h5py.VirtualLayout((COUNT,), "u1")
        layout[:] = h5py.VirtualSource("part.h5", "note", (COUNT,))
        file.create_virtual_dataset("joined", layout)
    status, said = run("build", path, "--repo", "repo")
    assert status == 0, said
    for name in ("note", "far", "joined"):
        assert stored()[name].values.tolist() == list(range(COUNT))
    assert run("verify", "--repo", "repo", "--all")[0] == 0


@pytest.mark.parametrize("what", ["link", "soft link", "virtual dataset"])
def test_what_is_not_followed_is_not_opened(what: str, secret: Path) -> None:
    """Whoever opens the pipe that it leads to waits for ever."""
    os.mkfifo(pipe := secret.with_name("pipe.h5"))
    with h5py.File("data/a.h5", "w") as file:
        rest(file)
        if what == "virtual dataset":
            layout = h5py.VirtualLayout((COUNT,), "u1", maxshape=(None,))
            source = h5py.VirtualSource(str(pipe), "note", (COUNT,), maxshape=(None,))
            layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
            file.create_virtual_dataset("note", layout)
        else:
            name = "note" if what == "link" else "other"
            file[name] = h5py.ExternalLink(str(pipe), "/")
            if what == "soft link":
                file["note"] = h5py.SoftLink("/other/note")
    drop = ["--drop", "note", *(["--drop", "other"] if what == "soft link" else [])]
    for arguments in (
        ["inspect", "data/a.h5"],
        ["build", "data/a.h5", "--repo", "refused"],
        ["build", "data/a.h5", "--repo", "repo", *drop],
        ["verify", "--repo", "repo", "--all"],
        ["verify", "--repo", "repo", "--source", "data/a.h5"],
        ["refresh", "--repo", "repo", "--content"],
    ):
        done = warm_start.run(*arguments, timeout=60)
        expected = {"inspect": 1}.get(arguments[0], 2 if "refused" in arguments else 0)
        assert done.returncode == expected, (arguments, done.stderr)


@pytest.mark.parametrize("how", ["missing", "no such dataset", "no HDF5", "short", "no raw file"])
def test_parts_that_readers_make_up(how: str, run) -> None:
    """HDF5 reads zeros where a part is not there, and so would whoever compares."""
    path = Path("data/a.h5")
    with h5py.File(path, "w") as file:
        rest(file)
        if how in ("short", "no raw file"):
            if how == "short":
                Path("data/raw.bin").write_bytes(bytes(COUNT - 1))
            external_storage(file, Path("data/raw.bin"))
            if how == "no raw file":
                assert not Path("data/raw.bin").exists()
        else:
            layout = h5py.VirtualLayout((COUNT,), "u1")
            layout[:] = h5py.VirtualSource("part.h5", "note", (COUNT,))
            file.create_virtual_dataset("note", layout)
    if how == "no such dataset":
        with h5py.File("data/part.h5", "w") as part:
            part["other"] = np.arange(COUNT, dtype="u1")
    elif how == "no HDF5":
        Path("data/part.h5").write_bytes(bytes(100))
    status, said = run("build", path, "--repo", "repo")
    assert status == 2
    assert "note lies in" in said
    assert run("build", path, "--repo", "repo", "--drop", "note")[0] == 0


def series(folder: str, number: int, raw: Path) -> Path:
    """One of several files, each with its values in a raw file."""
    path = Path(folder, f"f{number}.h5")
    with h5py.File(path, "w") as file:
        time = file.create_dataset("time", data=[float(number)], maxshape=(None,))
        time.make_scale("time")
        v = file.create_dataset("v", data=np.full((1, 4), number, "f4"), chunks=(1, 4))
        v.dims[0].attach_scale(time)
        file.create_dataset("note", shape=(COUNT,), dtype="u1", external=[(str(raw), 0, COUNT)])
    return path


def test_a_later_file_of_a_series(secret: Path, run) -> None:
    """Files like one that was read before are read the short way, and no less carefully."""
    raw = Path("data/raw.bin").absolute()
    raw.write_bytes(SECRET)
    files = [series("data", number, raw) for number in range(3)]
    assert run("build", *files[:2], "--repo", "repo", "--concat-dim", "time")[0] == 0
    assert run("append", files[2], "--repo", "repo")[0] == 0
    for place, command in (
        (series("data", 3, secret), "append"),
        (series("data", 1, secret), "refresh"),
    ):
        named = [place] if command == "append" else []
        status, said = run(command, *named, "--repo", "repo")
        assert status == 2
        assert str(secret) in said
    files = [*files[:2], series("data", 3, secret)]
    assert run("build", *files, "--repo", "other", "--concat-dim", "time")[0] == 2


@pytest.mark.parametrize(
    "lead",
    [external_storage, external_link, virtual_dataset, a_part_that_leads_on, soft_link],
)
def test_hdf5_on_s3(lead, secret: Path, run, put) -> None:
    """A remote file leads to files of this machine, and its reader sees none of its parts."""
    url = put("x/a.h5", hostile(lead, secret).read_bytes())
    if (part := Path("data/part.h5")).exists():
        put("x/part.h5", part.read_bytes())
    status, said = run("build", url, "--repo", "repo", "--trust", secret.parent)
    assert status == 2
    assert "which no reader of a remote file can see" in said
    assert run("build", url, "--repo", "repo", "--drop", "note")[0] == 0
    assert set(stored().variables) == {"v", "x"}
    assert run("verify", "--repo", "repo", "--all")[0] == 0


def test_verify_of_parts_that_no_reader_sees(run, put) -> None:
    """A store with the zeros that HDF5 makes up for a virtual dataset on S3 does not pass."""
    with h5py.File("data/part.h5", "w") as part:
        part["note"] = np.arange(1, COUNT + 1, dtype="u1")
    layout = h5py.VirtualLayout((COUNT,), "u1")
    layout[:] = h5py.VirtualSource("part.h5", "note", (COUNT,))
    with h5py.File("data/a.h5", "w") as file:
        file.create_virtual_dataset("note", layout)
        file["v"] = np.arange(4.0)
    source = put("x/a.h5", Path("data/a.h5").read_bytes())
    put("x/part.h5", Path("data/part.h5").read_bytes())
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage("repo"))
    session = repo.writable_session("main")
    zeros = xr.Dataset(
        {"note": ("phony_dim_0", np.zeros(COUNT, "u1")), "v": ("phony_dim_1", np.arange(4.0))}
    )
    zeros.to_zarr(session.store, consolidated=False)
    session.commit("zeros")
    status, said = run("verify", "--repo", "repo", "--source", source)
    assert status == 1
    assert "note is in the store, but not in the file" in said


@pytest.mark.parametrize("how", ["absolute", "relative"])
def test_hdf4_that_leads_to_a_private_file(how: str, secret: Path, run) -> None:
    file = SD("data/a.hdf", SDC.WRITE | SDC.CREATE)
    dataset = file.create("note", SDC.UINT8, (COUNT,))
    place = str(secret) if how == "absolute" else os.path.relpath(secret)
    dataset.setexternalfile(place, 0)
    dataset.endaccess()
    file.end()
    status, said = run("build", "data/a.hdf", "--repo", "repo")
    assert status == 2
    assert str(secret) in said
    assert not Path("repo").exists()
    assert run("inspect", "data/a.hdf")[0] == 1
    trusted = ["--trust", secret.parent]
    assert run("build", "data/a.hdf", "--repo", "repo", *trusted)[0] == 0
    assert stored()["note"].values.tobytes() == SECRET


@pytest.mark.parametrize("what", ["chunk", "folder"])
def test_zarr_with_a_link_to_a_private_file(what: str, secret: Path, run) -> None:
    """As an archive that was unpacked may hold it."""
    values = {"x": ("x", np.ones(COUNT, "u1")), "v": ("x", np.ones(COUNT, "f4"))}
    dataset = xr.Dataset(values).set_coords("x")
    encoding = {"x": {"compressors": None, "filters": None}}
    dataset.to_zarr("data/a.zarr", consolidated=False, zarr_format=3, encoding=encoding)
    chunk = Path("data/a.zarr/x/c/0")
    if what == "folder":
        secret.rename(secret.with_name("0"))
        chunk.unlink()
        chunk.parent.rmdir()
        chunk.parent.symlink_to(secret.parent)
    else:
        chunk.unlink()
        chunk.symlink_to(secret)
    status, said = run("build", "data/a.zarr", "--repo", "repo")
    assert status == 2
    assert str(secret.parent) in said
    assert not Path("repo").exists()
    trusted = ["--trust", secret.parent]
    assert run("build", "data/a.zarr", "--repo", "repo", *trusted)[0] == 0
    assert stored()["x"].values.tobytes() == SECRET


def kerchunk(target: str) -> dict:
    array = {"zarr_format": 2, "shape": [COUNT], "chunks": [COUNT], "dtype": "|u1", "order": "C"}
    array |= {"compressor": None, "filters": None, "fill_value": None}
    references: dict = {".zgroup": '{"zarr_format":2}'}
    for name in ("x", "v"):
        references |= {
            f"{name}/.zarray": json.dumps(array),
            f"{name}/.zattrs": '{"_ARRAY_DIMENSIONS":["x"]}',
            f"{name}/0": [target, 0, COUNT],
        }
    return {"version": 1, "refs": references}


TARGETS = [
    "{secret}",
    "file://{secret}",
    "../../home/.private/credentials",
    "sub/../../../home/.private/credentials",
    "linked.bin",
    "s3://another-bucket/a.bin",
    "s3://noaa-goes16/a.bin",
    "https://evil.example.org/a.bin",
    "https://127.0.0.1/a.bin",
    "https://localhost/a.bin",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/a.bin",
    "https://[::1]/a.bin",
    "http://169.254.169.254/latest/meta-data/",
    "gs://another-bucket/a.bin",
    "az://container/a.bin",
    "https://data.example.org/%2e%2e/a.bin",
]


@pytest.mark.parametrize("where", ["json", "template", "parquet"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_kerchunk_references_that_lead_elsewhere(
    target: str, where: str, secret: Path, run
) -> None:
    """No request (the proxy of the test's world fails it for any), and no byte of a private file.

    ``build``, ``migrate`` and ``inspect`` would print and keep coordinates.
    """
    Path("data/linked.bin").symlink_to(secret)
    (Path("data/sub")).mkdir()
    target = target.format(secret=secret)
    path = Path("data/refs.json")
    references = kerchunk(target)
    if where == "template":
        references = kerchunk("{{u}}") | {"templates": {"u": target}}
    if where == "parquet":
        path = Path("data/refs.parquet")
        refs_to_dataframe(kerchunk(target)["refs"], str(path))
    else:
        path.write_text(json.dumps(references))
    for arguments in (
        ["build", path, "--repo", "repo"],
        ["migrate", path, "--repo", "repo"],
        ["inspect", path],
    ):
        status, said = run(*arguments)
        assert status == (1 if arguments[0] == "inspect" else 2)
        assert "below no folder that was named" in said or "is not supported" in said
    assert not Path("repo").exists()


def test_kerchunk_references_of_a_server(secret: Path, run, put) -> None:
    """References from S3 to local files, and to another prefix of the same bucket."""
    private = put("private/a.bin", SECRET).rpartition("/")[0]
    put("refs/data/a.bin", SECRET)

    def refer(target: str) -> str:
        return put("refs/refs.json", json.dumps(kerchunk(target)).encode())

    for target in (str(secret), f"{private}/a.bin", "../private/a.bin"):
        assert run("build", refer(target), "--repo", "repo")[0] == 2
    assert run("build", refer("data/a.bin"), "--repo", "below")[0] == 0
    url = refer(f"{private}/a.bin")
    assert run("build", url, "--repo", "repo", "--trust", private)[0] == 0
    assert run("verify", "--repo", "repo")[0] == 0  # what was trusted is remembered


class _Touch:
    """What a pickle may hold: a call that is made when it is read."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("place", ["compressor", "filters"])
@pytest.mark.parametrize("kind", ["kerchunk", "zarr"])
def test_pickled_data_is_not_read(kind: str, place: str, run) -> None:
    """numcodecs 0.17 has a codec for it."""
    data = pickle.dumps(_Touch())
    Path("data/a.bin").write_bytes(data)
    references = kerchunk("a.bin")["refs"]
    array = json.loads(references["v/.zarray"]) | {"dtype": "|O"}
    codec = {"id": "pickle"}
    array |= {"filters": [{"id": "vlen-utf8"}, *([codec] if place == "filters" else [])]}
    array |= {"compressor": codec if place == "compressor" else None}
    references["v/.zarray"] = json.dumps(array)
    references["v/0"][2] = len(data)
    path = Path("data/refs.json")
    if kind == "zarr":
        path = Path("data/a.zarr")
        (path / "v").mkdir(parents=True)
        for name in (".zgroup", "v/.zarray", "v/.zattrs"):
            (path / name).write_text(references[name])
        (path / "v" / "0").write_bytes(data)
    else:
        path.write_text(json.dumps({"refs": references}))
    assert run("build", path, "--repo", "repo")[0] == 2
    assert run("inspect", path)[0] == 1
    assert not Path("unpickled").exists()


def test_migrate_trusts_where_the_files_are_now(secret: Path, run) -> None:
    """``--to`` names a place."""
    (folder := Path("now")).mkdir()
    (folder / "a.bin").write_bytes(SECRET)
    Path("data/refs.json").write_text(json.dumps(kerchunk("s3://old/a.bin")))
    moved = ["--from", "s3://old", "--to", folder]
    assert run("migrate", "data/refs.json", "--repo", "repo", *moved)[0] == 0
    assert run("verify", "--repo", "repo")[0] == 0


@pytest.mark.parametrize(
    ("url", "folder", "below"),
    [
        ("s3://b/data/a.nc", "s3://b/data", True),
        ("s3://b/data", "s3://b/data/", True),
        ("s3://b/database/a.nc", "s3://b/data", False),
        ("s3://b/data/../a.nc", "s3://b/data", False),
        ("s3://b/data/./a.nc", "s3://b/data", False),
        ("s3://B/data/a.nc", "s3://b/data", False),
        ("s3://b/.hidden/a.nc", "s3://b", True),
        ("gs://b/data/a.nc", "s3://b/data", False),
        ("https://h/d/a.nc", "https://h/d", True),
        ("https://H:443/d//a.nc", "https://h/d", True),
        ("https://h:8443/d/a.nc", "https://h/d", False),
        ("https://h.evil.org/d/a.nc", "https://h", False),
        ("https://h@evil.org/d/a.nc", "https://h", False),
        ("https://h/d/%2E%2e/a.nc", "https://h/d", False),
        ("https://h/d\\..\\a.nc", "https://h/d", False),
        ("file:///d/a.nc", "/d", True),
        ("file:///d/.ssh/a", "/d", False),
        ("file:///d/.ssh/a", "/d/.ssh", True),
        ("file:///d/.netrc", "/d", False),
        ("file:///d/../etc/a", "/d", False),
        ("file:///d", "/", True),
        ("file://host/d", "/d", False),
        ("file://localhost/d", "/d", False),
        ("file://localhost/d", ".", False),
        ("file:d/a.nc", ".", False),
        ("file:///d/%2e%2e/a.nc", "/d", False),
        ("file:///d/%2E/a.nc", "/d", False),
        ("s3:///a", "s3:///", False),
        ("a", "/", False),
    ],
)
def test_what_lies_below_a_folder(url: str, folder: str, below: bool) -> None:
    assert is_below(url, (folder,)) == below

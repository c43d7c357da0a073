"""Archives whose credentials a service gives for an hour."""

from __future__ import annotations

import builtins
import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import icechunk
import pytest
import virtual_zarr
import vzarr
from vzarr.sources import token_services
from vzarr.sources.access import Place
from worlds.recorder import Recorder
from worlds.s3 import STORES_BUCKET
from worlds.tokens import EARTHDATA_HOST, PASSWORD, PROTECTED_BUCKET, USER, Earthdata
from worlds.tokens import PlanetaryComputer as Signatures

Enter = Callable[[str], None]
NASA = f"earthdata:https://{EARTHDATA_HOST}/s3credentials"
FILES = f"s3://{PROTECTED_BUCKET}/ERA5/era5_t2m_2024-01-0[12].nc"
MORE = f"s3://{PROTECTED_BUCKET}/ERA5/era5_t2m_2024-01-0[123].nc"
REPO = f"s3://{STORES_BUCKET}/nasa"
BY_NASA = vzarr.Access(auth=NASA, repo_region="us-west-2")
BLOBS = "az://archive/era5/era5_t2m_2024-01-0[12].nc"
BY_SIGNATURE = vzarr.Access(auth="planetary-computer", account="acmeclimate")


@pytest.fixture
def in_nasa(enter_world: Enter) -> None:
    enter_world("earthdata")


@pytest.fixture
def in_planetary_computer(enter_world: Enter) -> None:
    enter_world("planetary-computer")


def test_keys_of_nasa(in_nasa: None, earthdata: Earthdata) -> None:
    """The archive by its keys, the repository by the user's; asked for once."""
    assert len(vzarr.build(FILES, REPO, concat_dim="time", access=BY_NASA).sources) == 2
    assert vzarr.verify(REPO, sample=None, access=BY_NASA).passed
    assert len(earthdata.issued) == 1


def test_keys_are_renewed(in_nasa: None, earthdata: Earthdata) -> None:
    """In a session that was opened before, in a later command, and in a worker's pickle."""
    earthdata.life = timedelta(seconds=5)
    vzarr.build(FILES, REPO, concat_dim="time", access=BY_NASA)
    session = vzarr.open_repository(REPO, access=BY_NASA).readonly_session("main")
    first = vzarr.open_dataset(REPO, access=BY_NASA)
    carried = pickle.dumps(session)
    assert not any(token.encode() in carried for token in earthdata.issued)
    time.sleep(4.1)
    earthdata.revoke()
    assert first.t2m.load().sizes["time"] == 8
    assert vzarr.append(MORE, REPO, access=BY_NASA).appended
    assert vzarr.verify(REPO, sample=None, access=BY_NASA).passed
    assert len(earthdata.issued) > 1


def test_keys_that_expire_unforeseen(in_nasa: None, earthdata: Earthdata) -> None:
    """Nothing is written, and the sentence says what was refused."""
    vzarr.inspect(FILES, access=BY_NASA)
    earthdata.revoke()
    with pytest.raises(Exception) as caught:  # noqa: PT011  (of obstore, or of the tool)
        vzarr.build(FILES, "store", concat_dim="time", access=BY_NASA)
    assert "ExpiredToken" in str(caught.value)
    assert not Path("store", "repo").exists()


def test_user_and_password(
    in_nasa: None, earthdata: Earthdata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARTHDATA_TOKEN")
    monkeypatch.setenv("EARTHDATA_USERNAME", USER)
    monkeypatch.setenv("EARTHDATA_PASSWORD", PASSWORD)
    assert not vzarr.inspect(FILES, access=BY_NASA).unreadable


def test_netrc(in_nasa: None, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> None:
    monkeypatch.delenv("EARTHDATA_TOKEN")
    netrc = clean_environment.parent / "home" / ".netrc"
    netrc.write_text(f"machine urs.earthdata.nasa.gov login {USER} password {PASSWORD}\n")
    netrc.chmod(0o600)
    assert not vzarr.inspect(FILES, access=BY_NASA).unreadable


@pytest.mark.parametrize("token", [None, "wrong"])
def test_no_login(in_nasa: None, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    if token:
        monkeypatch.setenv("EARTHDATA_TOKEN", token)
    else:
        monkeypatch.delenv("EARTHDATA_TOKEN")
    with pytest.raises(vzarr.InputError, match=r"gives no keys.*set EARTHDATA_TOKEN, or EARTH"):
        vzarr.inspect(FILES, access=BY_NASA)


def test_service_is_down(
    in_nasa: None, monkeypatch: pytest.MonkeyPatch, earthdata: Earthdata
) -> None:
    monkeypatch.setattr(token_services, "RETRIES", 1)
    earthdata.is_down = True
    line = ["inspect", FILES, "--auth", NASA, "--quiet"]
    assert virtual_zarr.main(line) == 3
    earthdata.is_down = False
    assert virtual_zarr.main(line) == 0


def test_signatures(in_planetary_computer: None, planetary_computer: Signatures) -> None:
    """Sources by signatures that are renewed, the repository by the key of an own account."""
    planetary_computer.life = timedelta(seconds=5)
    repo = "az://stores/by-signature"
    assert len(vzarr.build(BLOBS, repo, concat_dim="time", access=BY_SIGNATURE).sources) == 2
    dataset = vzarr.open_dataset(repo, access=BY_SIGNATURE)
    time.sleep(4.1)
    planetary_computer.revoke()
    assert dataset.t2m.load().sizes["time"] == 8
    assert vzarr.verify(repo, sample=None, access=BY_SIGNATURE).passed
    assert len(planetary_computer.issued) > 1


def test_no_such_collection(
    in_planetary_computer: None, run: Callable[..., tuple[int, str]]
) -> None:
    line = ["inspect", "az://nonsense/era5/*.nc", "--account", "acmeclimate"]
    status, said = run(*line, "--auth", "planetary-computer")
    assert (status, "has no such collection" in said) == (2, True), said


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        ("nasa", "no such service"),
        ("earthdata", "name the URL from which"),
        ("earthdata:http://archive.podaac.earthdata.nasa.gov/s3credentials", "a host of NASA"),
        ("earthdata:https://nasa.gov.example.org/s3credentials", "a host of NASA"),
        ("earthdata:https://me:secret@data.nasa.gov/s3credentials", "…@data.nasa.gov"),
        ("earthdata:https://example.org/.nasa.gov/s3credentials", "a host of NASA"),
        ("earthdata:https://example.org#.nasa.gov/s3credentials", "a host of NASA"),
        ("earthdata:https://example.org\\.nasa.gov/s3credentials", "a host of NASA"),
    ],
)
def test_logins_stay_with_nasa(auth: str, sentence: str) -> None:
    with pytest.raises(vzarr.InputError, match=sentence) as caught:
        vzarr.Access(auth=auth)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"anonymous": True}, {"profile": "mine"}, {"endpoint": "https://minio.example.org"}],
)
def test_options_that_contradict_it(options: dict[str, str]) -> None:
    with pytest.raises(vzarr.InputError, match="for which its credentials are not"):
        vzarr.Access(auth=NASA, **options)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_environment_leads_elsewhere(
    in_nasa: None, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with Recorder() as recorder:
        monkeypatch.setenv(variable, recorder.url)
        with pytest.raises(vzarr.InputError, match=r"leads S3 to .*: unset AWS_ENDPOINT_URL"):
            vzarr.inspect(FILES, access=BY_NASA)
        assert not recorder.requests


def test_other_variable_of_obstore(in_nasa: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the tool does not look at: the endpoint that it names goes before it."""
    with Recorder() as recorder:
        monkeypatch.setenv("AWS_ENDPOINT", recorder.url)
        assert not vzarr.inspect(FILES, access=BY_NASA).unreadable
        assert not recorder.requests


def test_repository_leads_elsewhere(in_nasa: None) -> None:
    """A container on another server was trusted before: the keys do not go there."""
    with Recorder() as recorder:
        config = icechunk.RepositoryConfig.default()
        store = icechunk.s3_store(region="us-west-2", endpoint_url=recorder.url, allow_http=True)
        container = icechunk.VirtualChunkContainer("s3://bucket/", store)
        config.set_virtual_chunk_container(container)
        icechunk.Repository.create(icechunk.local_filesystem_storage("store"), config)
        trusted = vzarr.Access(trust=("s3://bucket/",), endpoint=recorder.url)
        vzarr.open_repository("store", access=trusted)
        with pytest.raises(vzarr.InputError, match="for which its credentials are not"):
            vzarr.open_repository("store", access=BY_NASA)
        assert not recorder.requests


def test_public_container_of_the_same_repository() -> None:
    """It is read without keys, whatever gives those of the others."""
    place = Place("s3://noaa-goes16/", region="us-east-1", anonymous=True)
    public = vzarr.Access(auth=NASA, containers=(place,)).at("s3://noaa-goes16/a.nc")
    assert (public.auth, public.anonymous, public.region) == (None, True, "us-east-1")


def test_without_requests(in_nasa: None, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_requests(name: str, *arguments: object) -> object:
        if name.partition(".")[0] == "requests":
            raise ImportError(name)
        return original(name, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_requests)
        with pytest.raises(vzarr.InputError, match="needs the package requests: run with `uv run"):
            vzarr.inspect(FILES, access=BY_NASA)
    assert not vzarr.inspect(FILES, access=BY_NASA).unreadable


def test_workers_ask_for_themselves(in_nasa: None, earthdata: Earthdata) -> None:
    """Each process once; nothing secret is sent to them."""
    vzarr.build(MORE, "store", concat_dim="time", access=BY_NASA, workers=2)
    assert len(earthdata.issued) == 3

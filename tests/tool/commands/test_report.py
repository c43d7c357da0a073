"""The page of a store or of files: complete by itself, and what it shows is where it belongs.

The page is read by an HTML parser here; ``tool/pages/test_browser.py`` opens it.
"""

from __future__ import annotations

import io
import os
import re
import sys
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from time import sleep
from typing import Any

import icechunk
import netCDF4
import numpy as np
import pytest
import vzarr
import xarray as xr
import zarr
from vzarr.cli.main import main
from vzarr.combine.timeline import find_timeline
from vzarr.errors import InputError
from vzarr.pages.style import STYLE
from vzarr.reports.commits import KINDS
from vzarr.reports.timelines import WORDS
from vzarr.repository.history import commit_metadata
from vzarr.repository.ledger import write_ledger

VOID = {"meta", "input", "br", "rect", "path", "hr", "use", "circle"}
HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)>'
DAYS = 100


class Reader(HTMLParser):
    """Elements with their attributes and text; whether all that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> in {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def told(self) -> str:
        return " ".join(" ".join(self.text).split())


def day(folder: Path, number: int, length: int = 1, **attributes: Any) -> str:
    """A file of one day or more from 2024-01-01 on."""
    folder.mkdir(exist_ok=True)
    path = folder / f"day_{number:03d}.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("y", 4), ("x", 6)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2024-01-01"
        time[:] = number + np.arange(length)
        options = {"zlib": True, "chunksizes": (1, 2, 6), "fill_value": np.nan}
        values = file.createVariable("rain", "f4", ("time", "y", "x"), **options)
        values.setncatts(attributes)
        values[:] = np.random.default_rng(number).normal(size=(length, 4, 6))
    return str(path)


def page_of(target: Any, folder: Path, **options: Any) -> tuple[str, Reader]:
    out = folder / "page.html"
    written = vzarr.report(target, out, **options)
    html = out.read_text()
    assert written.bytes == len(html.encode())
    reader = Reader(html)
    assert reader.problems == []
    assert reader.open == []
    assert_complete_by_itself(html, reader)
    return html, reader


def assert_complete_by_itself(html: str, reader: Reader) -> None:
    """No script, nothing from elsewhere, a text for each picture, light and dark, phone, print."""
    names = {name for name, _ in reader.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for name, attributes in reader.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            if key in ("src", "href", "xlink:href", "action", "data"):
                assert str(value).startswith("#"), (name, key, value)
    assert not re.search(r"url\(|@import", html)
    policy = [a["content"] for n, a in reader.elements if n == "meta" and "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    for name, attributes in reader.elements:
        if name == "svg" and str(attributes.get("class")).startswith("strip"):
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
    for rule in ("prefers-color-scheme: dark", "max-width: 40rem", "@media print"):
        assert rule in html
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        reader.elements
    )


def lanes(html: str) -> dict[str, list[tuple[float, float]]]:
    """By label: where each lane of the first timeline has bars, as shares of its width."""
    found: dict[str, list[tuple[float, float]]] = {}
    pattern = (
        r'<div class="lane"><span>([^<]*)</span><svg class="strip[^"]*" viewBox="0 0 (\d+) 20"(.*?)'
    )
    for label, width, body in re.findall(pattern + "</svg>", html, re.DOTALL):
        bars = re.findall(r'<rect class="\w+" x="(\d+)" y="0" width="(\d+)"', body)
        bars += re.findall(r"M(\d+) [\d.]+h(\d+)v", body)
        spans = [(int(x) / int(width), (int(x) + int(w)) / int(width)) for x, w in bars]
        found.setdefault(label, spans)
    return found


def test_a_gap_is_seen_where_it_was_made(tmp_path: Path) -> None:
    numbers = [number for number in range(DAYS) if not 60 <= number < 70]
    files = [day(tmp_path / "data", number) for number in numbers]
    vzarr.build(files, tmp_path / "repo")
    html, reader = page_of(tmp_path / "repo", tmp_path)
    (gap,) = lanes(html)["missing"]
    assert gap == pytest.approx((0.60, 0.70), abs=0.01)
    there = lanes(html)["records"]
    assert there[0][0] == 0
    assert there[-1][1] == 1
    assert "missing: nothing between 2024-02-29 and 2024-03-11" in reader.told
    assert "90 files, from" in reader.told


def test_one_day_of_thirty_years_is_seen(tmp_path: Path) -> None:
    values = np.arange("1990-01-01", "2020-01-01", dtype="M8[D]").astype("M8[ns]")
    line = find_timeline(np.delete(values, 5000))
    assert line is not None
    (at,) = np.flatnonzero(line.shares < 1)
    assert at == 5000 * len(line.shares) // len(values)
    assert line.as_text().count("▓") == 1
    whole = find_timeline(values)
    assert whole is not None
    assert whole.is_whole


@pytest.mark.parametrize("unit", ["M8[s]", "f8", "i4"])
def test_shares_are_of_the_time_that_has_records(unit: str) -> None:
    values = np.array([0, 1, 2, 3, 8, 9]).astype(unit)
    line = find_timeline(values, 10)
    assert line is not None
    np.testing.assert_allclose(line.shares, [1, 1, 1, 1, 0, 0, 0, 0, 1, 1])
    assert line.as_text() == "████    ██"


def test_what_is_late_replaced_or_lacks_something(tmp_path: Path) -> None:
    files = [day(tmp_path / "data", number) for number in range(10)]
    moments = [datetime(2024, 2, 1 + number).timestamp() for number in range(10)]
    moments[3] = datetime(2024, 3, 1).timestamp()
    for file, moment in zip(files, moments, strict=True):
        os.utime(file, (moment, moment))
    repo = tmp_path / "repo"
    vzarr.build(files, repo)
    better = Path(day(tmp_path / "better", 7, note="better"))
    os.utime(better, (moments[7], moments[7]))
    vzarr.append(str(better), repo, replace=True)
    html, reader = page_of(repo, tmp_path)
    found = lanes(html)
    assert found["late"] == [pytest.approx((0.3, 0.4), abs=0.01)]
    assert found["replaced"] == [pytest.approx((0.7, 0.8), abs=0.01)]
    assert "1 file in the place of other files" in reader.told
    assert "append (1 replaced)" in reader.told


def run_and_step(folder: Path, run: int, step: int) -> str:
    path = folder / f"run{run}_{step}.nc"
    values = np.random.default_rng([run, step]).normal(size=(1, 1, 4))
    moment = np.datetime64("2024-01-01", "ns") + np.timedelta64(run, "D")
    coordinates = {"run": [moment], "step": [step], "x": np.arange(4.0)}
    xr.Dataset({"t": (("run", "step", "x"), values)}, coordinates).to_netcdf(path)
    return str(path)


def test_runs_that_are_not_complete(tmp_path: Path) -> None:
    places = [(run, step) for run in range(10) for step in (0, 6) if (run, step) != (4, 6)]
    files = [run_and_step(tmp_path, run, step) for run, step in places]
    vzarr.build(files, tmp_path / "repo", concat_dim=("run", "step"))
    html, reader = page_of(tmp_path / "repo", tmp_path)
    assert lanes(html)["incomplete"] == [pytest.approx((0.4, 0.5), abs=0.01)]
    assert "1 record with places for which there is no file" in reader.told
    assert "5 % missing" in reader.told  # of the chunks of t


@pytest.mark.parametrize("label", ["there", "odd", "virtual", "native", *WORDS, *KINDS.values()])
def test_each_kind_of_bar_has_a_colour(label: str) -> None:
    assert re.search(rf"svg \.{label}\b[^{{]*{{ fill: var\(", STYLE)


def test_a_page_of_a_store_says_what_readers_need(tmp_path: Path) -> None:
    files = [day(tmp_path / "data", number) for number in range(5)]
    repo = tmp_path / "repo"
    vzarr.build(files, repo)
    vzarr.tag(repo, "v1")
    html, reader = page_of(repo, tmp_path, verify=True)
    told = reader.told
    assert "passed : compared" in told
    assert f"to authorize file://{tmp_path}/data/" in told
    assert "5 requests" in told  # a point in all records
    assert "2 requests" in told  # a map: two chunks of rows
    assert "tag v1" in told
    assert "xr-wrap" in html  # xarray's own view
    code = re.search(r"<pre><code>(.*?)</code></pre>", html, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    assert "vzarr" not in code[1]  # a reader has Icechunk and xarray
    exec(code[1].replace("&#39;", "'"), names)
    with xr.open_dataset(files[2]) as truth:
        np.testing.assert_array_equal(names["ds"].rain[2].values, truth.rain[0].values)


def test_verification_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [day(tmp_path / "data", number) for number in range(3)]
    repo = str(tmp_path / "repo")
    vzarr.build(files, repo)
    day(tmp_path / "data", 1, length=2)
    out = tmp_path / "page.html"
    assert main(["report", repo, "--out", str(out), "--verify", "--quiet"]) == 1
    assert "verification FAILED" in capsys.readouterr().out
    reader = Reader(out.read_text())
    assert "FAILED : compared" in reader.told
    assert f"{files[1]}: rain has shape (1, 4, 6), in the file (2, 4, 6)" in reader.told


def test_values_that_differ(tmp_path: Path) -> None:
    """In a table with both, and on the line where the file lies."""
    files = [day(tmp_path / "data", number) for number in range(10)]
    repo = tmp_path / "repo"
    vzarr.build(files, repo)
    session = vzarr.open_repository(repo).writable_session("main")
    zarr.open_group(session.store, mode="a")["rain"][9, 2:, :] = 99.0
    session.commit("by hand")
    html, reader = page_of(repo, tmp_path, verify=True)
    with xr.open_dataset(files[9]) as truth:
        value = str(truth.rain.values[0, 2, 0])
    row = f"{files[9]} rain 0, 2, 0 99.0 {value} 12 of 24"
    assert row in reader.told
    assert lanes(html)["differs"] == [pytest.approx((0.9, 1.0), abs=0.01)]
    assert "95 % virtual, 5 % native" in reader.told


def test_what_overlapped_and_what_was_taken_out(tmp_path: Path) -> None:
    files = [day(tmp_path / "data", number, length=2) for number in (0, 2, 4, 5, 7, 9)]
    repo = tmp_path / "repo"
    vzarr.build(files, repo, overlap="first")
    vzarr.remove(repo, files[:1], gap=True)
    html, reader = page_of(repo, tmp_path)
    found = lanes(html)
    assert found["overlap"] == [pytest.approx((5 / 11, 6 / 11), abs=0.01)]
    assert found["removed"] == [pytest.approx((0, 2 / 11), abs=0.01)]
    assert "overlap: 1 stretch of records that two files have" in reader.told


def test_chunks_as_a_map(tmp_path: Path) -> None:
    """Rows of chunks that were never written, in some of the records."""
    store = icechunk.local_filesystem_storage(str(tmp_path / "repo"))
    session = icechunk.Repository.create(store).writable_session("main")
    root = zarr.group(session.store)
    for name, shape, chunks in (("time", (10,), (10,)), ("v", (10, 4), (1, 1))):
        options = {"dtype": "f8", "dimension_names": ("time", "x")[: len(shape)]}
        root.create_array(name, shape=shape, chunks=chunks, **options)
    root["time"][:] = np.arange(10.0)
    root["v"][:, :2] = 1
    root["v"][5:, 2:] = 1
    session.commit("by hand")
    html, reader = page_of(tmp_path / "repo", tmp_path)
    (path,) = re.findall(r'viewBox="0 0 10 80"[^>]*>.*?<path class="native" d="([^"]*)"', html)
    assert path == "M0 0h10v20h-10zM0 20h10v20h-10zM5 40h5v20h-5zM5 60h5v20h-5z"
    assert (
        'aria-label="chunks of v: 75 % native, 25 % missing, records to the right, chunks of'
        in html
    )
    assert "10 requests" in reader.told


def test_history_along_time(tmp_path: Path) -> None:
    files = [day(tmp_path / "data", number) for number in range(4)]
    repo = tmp_path / "repo"
    vzarr.build(files[:2], repo)
    assert "added by" not in page_of(repo, tmp_path)[1].told  # one commit is no history
    vzarr.append(files[:3], repo)
    sleep(1.1)  # commits are drawn by the second
    vzarr.append(files, repo)
    _, reader = page_of(repo, tmp_path)
    assert "4 files added by 3 commits, 2 at most" in reader.told


def test_names_and_attributes_are_escaped(tmp_path: Path) -> None:
    """Whoever makes a file chooses them: they stay text."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        with netCDF4.Dataset(folder / f"<b>{number}&amp;.nc", "w") as file:
            file.title = HOSTILE
            file.createDimension("time", None)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2024-01-01"
            time[:] = [number]
            values = file.createVariable("v<i>&lt;", "f4", ("time",), fill_value=np.nan)
            values.setncatts({"long_name": HOSTILE, "units": "\u202eK"})
            values[:] = [number]
    repo = tmp_path / "repo"
    vzarr.build(str(folder / "*.nc"), repo, message=HOSTILE)
    for target in (repo, str(folder / "*.nc")):
        html, reader = page_of(target, tmp_path)
        assert "v<i>&lt;" in reader.told
        assert "<script" not in html
        assert "v<i>" not in html
        assert "<b>0" not in html
    for shown in (vzarr.show(repo), vzarr.inspect(str(folder / "*.nc")), vzarr.verify(repo)):
        fragment = shown._repr_html_()
        assert "<script" not in fragment
        assert "<i>" not in fragment
        assert Reader(fragment).problems == []


def test_a_page_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = [day(folder, number) for number in (0, 1, 2, 6, 7)]
    files.append(day(folder, 8, length=2))
    files.append(day(folder, 9))
    (folder / "broken.nc").write_bytes(b"CDF\x01")
    html, reader = page_of([*files, str(folder / "broken.nc")], tmp_path)
    found = lanes(html)
    assert found["missing"] == [pytest.approx((0.3, 0.6), abs=0.01)]
    assert found["overlap"] == [pytest.approx((0.9, 1.0), abs=0.01)]
    assert "day_009.nc: begins at 2024-01-10" in reader.told
    assert "broken.nc" in reader.told
    _, reader = page_of(files[:3], tmp_path)
    assert "virtual" in reader.told
    assert "virtual_zarr.py build" in reader.told
    assert "3 requests" in reader.told  # a point in all records


def test_a_plan_shows_what_files_lack(tmp_path: Path) -> None:
    files = [day(tmp_path / "data", number) for number in range(10)]
    with netCDF4.Dataset(files[4], "a") as file:
        file.renameVariable("rain", "snow")
    for number in (*range(4), *range(5, 10)):
        with netCDF4.Dataset(files[number], "a") as file:
            more = file.createVariable("snow", "f4", ("time", "y", "x"), fill_value=np.nan)
            more[:] = 1
    html, reader = page_of(files, tmp_path)
    paths = re.findall(r'chunks of rain[^>]*>.*?<path class="virtual" d="([^"]*)"', html)
    assert paths == ["M0 0h4v20h-4zM5 0h5v20h-5z"]
    assert "virtual; missing in 1 file" in reader.told


def test_an_archive_of_many_files_makes_a_small_page(tmp_path: Path) -> None:
    """A store of 20,000 sources and 200,000 references that lead nowhere: it is not read."""
    count = 20_000
    prefix = f"file://{tmp_path}/data/"
    config = icechunk.RepositoryConfig.default()
    store_of = icechunk.local_filesystem_store(prefix)
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store_of))
    storage = icechunk.local_filesystem_storage(str(tmp_path / "repo"))
    repository = icechunk.Repository.create(storage, config)
    session = repository.writable_session("main")
    root = zarr.group(session.store)
    hours = np.arange(count)
    hours[count // 2 :] += count // 4
    time = root.create_array(
        "time",
        shape=(count,),
        chunks=(4096,),
        dtype="i8",
        dimension_names=("time",),
        attributes={"units": "hours since 2000-01-01", "calendar": "proleptic_gregorian"},
    )
    time[:] = hours
    root.create_array(
        "v",
        shape=(count, 10),
        chunks=(1, 1),
        dtype="f4",
        dimension_names=("time", "x"),
    )
    urls = [f"{prefix}{number:06d}.nc" for number in range(count)]
    places = [url for url in urls for _ in range(10)]
    offsets = np.tile(np.arange(10, dtype="u8") * 4, count)
    lengths = np.full(count * 10, 4, "u8")
    session.store.set_virtual_refs_arr("/v", (count, 10), places, offsets, lengths)
    group: Any = {
        "concat_dim": "time",
        "virtual": ["v"],
        "loaded": ["time"],
        "native": {},
        "dropped": {},
        "by_option": [],
        "lengths": [1] * count,
    }
    moment = "2024-01-01T00:00:00+00:00"
    sources: Any = [{"url": url, "size": 40, "last_modified": moment, "etag": None} for url in urls]
    metadata: Any = {"concat_dim": "time", "replaced": [], "groups": {"": group}}
    write_ledger(session.store, {**metadata, "sources": sources})
    session.commit("many", metadata=commit_metadata("build", added=count))
    html, reader = page_of(tmp_path / "repo", tmp_path)
    assert len(html) < 60_000
    assert lanes(html)["missing"] == [pytest.approx((0.4, 0.6), abs=0.01)]
    assert "20,000 files" in reader.told
    assert "200,000 references" in reader.told


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [day(tmp_path / "data", number) for number in range(2)]
    repo = str(tmp_path / "repo")
    vzarr.build(files, repo)
    for arguments, sentence in (
        ([repo, "--out", str(tmp_path)], "is a folder"),
        ([repo, "--out", str(tmp_path / "nowhere" / "p.html")], "name a file to write"),
        ([repo, "--concat-dim", "time"], "--concat-dim has a meaning only with files"),
        ([files[0], "--verify"], "--verify has a meaning only with a repository"),
        ([str(tmp_path / "nothing"), "--out", str(tmp_path / "p.html")], "no such file"),
    ):
        assert main(["report", *arguments]) == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
    with pytest.raises(InputError, match="is a folder"):
        vzarr.report(repo, tmp_path)


def test_show_and_inspect_draw_a_gap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [day(tmp_path / "data", number) for number in (0, 1, 2, 3, 8, 9)]
    repo = str(tmp_path / "repo")
    vzarr.build(files, repo)
    assert main(["show", repo]) == 0
    told = capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if "█" in line]
    assert line.strip("| ").split() == ["█" * 24, "█" * 12]
    assert main(["inspect", *files, "--quiet"]) == 0
    assert line.strip() in capsys.readouterr().out
    assert main(["inspect", *files[:3], "--quiet"]) == 0
    assert "█" not in capsys.readouterr().out  # nothing is missing, so nothing is drawn


@pytest.mark.parametrize("seed", range(20))
def test_a_line_shows_each_gap_where_it_is(seed: int) -> None:
    """Ten records for each character: full only where all are there, empty only where none is."""
    chance = np.random.default_rng(seed)
    there = np.ones(600, bool)
    for start, length in zip(chance.integers(1, 590, 5), chance.integers(1, 40, 5), strict=True):
        there[start : start + length] = False
    there[[0, -1]] = True
    line = find_timeline(np.flatnonzero(there))
    assert line is not None
    text = line.as_text()
    parts = there.reshape(60, 10).sum(axis=1)
    assert [sign == "█" for sign in text] == (parts == 10).tolist()
    assert [sign == " " for sign in text] == (parts == 0).tolist()


def test_a_line_where_there_are_no_block_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [day(tmp_path / "data", number) for number in (0, 1, 2, 3, 8, 9)]
    repo = str(tmp_path / "repo")
    vzarr.build(files, repo)
    for arguments in (["show", repo], ["inspect", *files, "--quiet"]):
        out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", out)
        assert main(arguments) == 0
        told = out.buffer.getvalue().decode("ascii")
        assert f"  |{'#' * 24}{' ' * 24}{'#' * 12}|" in told.splitlines()

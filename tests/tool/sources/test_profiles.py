"""Keys in a profile: the tool takes them where boto3 is there, and says what to do where not."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import pytest
import vzarr
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

FILES = f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-0[12].nc"
WEST = vzarr.Access(region="us-west-2")


def test_profile(enter_world: Callable[[str], None], clean_environment: Path) -> None:
    enter_world("s3-profile")
    repo = f"s3://{STORES_BUCKET}/by-profile"
    assert len(vzarr.build(FILES, repo, concat_dim="time", access=WEST).sources) == 2
    assert vzarr.verify(repo, sample=None, access=WEST).passed


def test_no_boto3(
    enter_world: Callable[[str], None], clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_world("s3-profile")
    original = builtins.__import__

    def without_boto3(name: str, *arguments: object) -> object:
        if name.partition(".")[0] == "boto3":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_boto3)
    with pytest.raises(vzarr.InputError, match=r"is read by boto3: run with `uv run --with boto3 "):
        vzarr.inspect(FILES, access=WEST)


def test_no_such_profile(
    enter_world: Callable[[str], None], clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_world("s3-profile")
    monkeypatch.setenv("AWS_PROFILE", "nonsense")
    with pytest.raises(vzarr.InputError, match="nonsense, without keys: The config profile"):
        vzarr.inspect(FILES, access=WEST)


def test_public_files_need_no_profile(
    enter_world: Callable[[str], None], clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_world("s3-public")
    monkeypatch.setenv("AWS_PROFILE", "nonsense")
    public = vzarr.Access(anonymous=True)
    found = vzarr.inspect("s3://noaa-goes16/ABI-L2-CMIPF/2024/001/*/*.nc", access=public)
    assert not found.unreadable

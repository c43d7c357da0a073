"""Help: each command shows how it is called, and each example is one that its parser takes."""

from __future__ import annotations

import re
import shlex

import pytest
from vzarr.cli.main import COMMANDS, make_parser


def examples(text: str) -> list[list[str]]:
    """Words of the command lines below ``examples:``, without the tool's name."""
    shown = text.partition("examples:\n")[2].replace("\\\n", "")
    lines = re.findall(r"^  virtual_zarr\.py (.+)$", shown, flags=re.MULTILINE)
    return [shlex.split(line) for line in lines]


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args([command, "--help"] if command else ["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_examples_are_taken(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = examples(help_of(command, capsys))
    assert lines
    assert not command or command in {words[0] for words in lines}
    for words in lines:
        assert make_parser().parse_args(words).command == words[0]


@pytest.mark.parametrize("command", ["show", "log", "verify", "refresh"])
def test_repository_with_and_without_its_option(command: str) -> None:
    bare = make_parser().parse_args([command, "a.icechunk"])
    named = make_parser().parse_args([command, "--repo", "a.icechunk"])
    assert bare.repo == named.repo == "a.icechunk"


@pytest.mark.parametrize("words", [["verify"], ["verify", "a", "--repo", "b"]])
def test_repository_is_given_once(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(words)
    assert ended.value.code == 2
    assert "--repo" in capsys.readouterr().err

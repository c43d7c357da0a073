"""What a run took: commands, failures, wrong guesses, lines of code, tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit.workspace import OWN

GUESSES = ("TypeError", "AttributeError", "ImportError", "ModuleNotFoundError")
"""How a call fails that the library does not have in this form."""


def commands(folder: Path) -> dict[str, int | float]:
    """Counts of the workspace's log."""
    path = folder / ".log" / "commands.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    called = [json.loads(line) for line in lines]
    failed = [call for call in called if call["status"]]
    return {
        "commands": len(called),
        "failed": len(failed),
        "wrong_guesses": sum(is_wrong_guess(call["stderr"]) for call in failed),
        "inline_lines": sum(call["inline_lines"] for call in called),
        "command_seconds": round(sum(call["seconds"] for call in called), 1),
    }


def is_wrong_guess(stderr: str) -> bool:
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith(" ")]
    last = lines[-1] if lines else ""
    return last.partition(":")[0].rpartition(".")[2] in GUESSES


def lines_written(folder: Path) -> int:
    """Lines of code, without empty ones and comments, of the Python files that are the agent's."""
    prepared = json.loads((folder / ".log" / "prepared.json").read_text())
    total = 0
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder)
        if place.parts[0] in OWN or not path.is_file() or "__pycache__" in place.parts:
            continue
        if prepared.get(str(place)) == _fingerprint(path):
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        total += sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)
    return total


def _fingerprint(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def tokens(output: str) -> dict[str, int]:
    """Input and output tokens of an agent's JSON output; nothing where it has none.

    Claude Code (``--output-format json`` or ``stream-json``), Codex (``--json``), Gemini
    (``--output-format json``).
    """
    total = {"input_tokens": 0, "output_tokens": 0}
    for event in _objects(output):
        if isinstance(event, list):
            for part in event:
                _add(total, part)
        else:
            _add(total, event)
    return total if any(total.values()) else {}


def _add(total: dict[str, int], event: Any) -> None:
    if not isinstance(event, dict):
        return
    usage = event.get("usage")
    kinds = ("result", "turn.completed", None)
    if isinstance(usage, dict) and event.get("type") in kinds:
        # Anthropic counts what came from its cache apart, OpenAI within.
        cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
        total["input_tokens"] += usage.get("input_tokens", 0) + sum(usage.get(k, 0) for k in cached)
        total["output_tokens"] += usage.get("output_tokens", 0)
    models = (
        event.get("stats", {}).get("models", {}) if isinstance(event.get("stats"), dict) else {}
    )
    for model in models.values():
        counted = model.get("tokens", {})
        total["input_tokens"] += counted.get("prompt", 0)
        total["output_tokens"] += counted.get("candidates", 0)


def _objects(output: str) -> list[Any]:
    """The JSON values of an output: one, or one a line."""
    try:
        return [json.loads(output)]
    except ValueError:
        pass
    found = []
    for line in output.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found

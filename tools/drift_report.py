"""Say in Markdown what changed with newer packages: versions, and which tests no longer hold.

``python tools/drift_report.py results.xml versions.txt`` reads pytest's JUnit file and the output
of ``uv pip freeze``, compares the latter with ``requirements.lock``, and prints an issue's body.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    r"test_blocks": "Blocks",
    r"trap": "Traps",
    r"test_tables": "Quoted errors and old forms",
    r"test_api_drift": "Calls that no longer fit",
    r"": "Other tests",
}
"""Headings by what the name of a test's module contains; the first that fits."""


def versions(text: str) -> dict[str, str]:
    """Pinned versions by name, from a requirements file or ``freeze``."""
    pins = re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def failures(results: str) -> dict[str, list[str]]:
    """Failed tests with the first line of what they said, by kind."""
    found: dict[str, list[str]] = {}
    for case in ET.fromstring(results).iter("testcase"):
        said = case.find("failure")
        said = said if said is not None else case.find("error")
        if said is None:
            continue
        module = case.get("classname", "")
        kind = next(title for part, title in KINDS.items() if re.search(part, module))
        name = re.sub(r"^test_\w+?\[(.*)\]$", r"\1", case.get("name", ""), flags=re.DOTALL)
        text = (said.get("message") or said.text or "").strip()
        line = next((part.strip() for part in text.splitlines() if part.strip()), "")
        line = line.removeprefix("Failed: ")
        found.setdefault(kind, []).append(f"- {code(name)}: {code(line[:300])}")
    return found


def code(text: str) -> str:
    """Inline code that may hold backticks."""
    flat = " ".join(text.split())
    return f"`` {flat} ``" if "`" in flat else f"`{flat}`"


def report(results: str, installed: str, locked: str) -> str:
    before, now = versions(locked), versions(installed)
    raised = [
        f"| {name} | {before[name]} | {now[name]} |"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]
    lines = ["The suite fails on the newest releases.", ""]
    if raised:
        lines += ["| Package | Locked | Newest |", "|---|---|---|", *raised, ""]
    found = failures(results)
    for title in KINDS.values():
        if title in found:
            lines += [f"## {title}", "", *found[title], ""]
    if not found:
        lines += ["No test failed by itself: the run was stopped, or could not be set up.", ""]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    results, installed = (Path(name) for name in arguments)
    empty = "<testsuites/>"
    print(
        report(
            results.read_text() if results.exists() else empty,
            installed.read_text() if installed.exists() else "",
            (ROOT / "requirements.lock").read_text(),
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])

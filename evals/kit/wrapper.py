"""What ``python`` and ``uv`` are in a workspace: the real interpreter, and a line for each call.

Lines go to ``.log/commands.jsonl``: argv, exit status, seconds, the end of standard error, lines of
code given on the command line or by standard input. Runs in Python's isolated mode, without a
library. ``uv run`` and ``pip install`` need no network: everything is installed already.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

TAIL = 4000
HERE = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
LOG = os.path.join(HERE, ".log")
WITH_VALUE = {
    "--with",
    "-p",
    "--python",
    "--with-requirements",
    "--project",
    "--directory",
    "--extra",
}


def main() -> int:
    with open(os.path.join(LOG, "workspace.json"), encoding="utf-8") as file:
        settings = json.load(file)
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    words = python_words(name, arguments)
    begun = time.time()
    source, data = given_code(words)
    if words is None:
        status, tail = 0, ""
        print("everything that this work needs is installed already")
    else:
        with open(os.path.join(HERE, "bin", "interpreter"), encoding="utf-8") as file:
            words = [file.read().strip(), *words]
        status, tail = run(words, settings["environment"], data)
    lines = sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in source)
    told = {
        "argv": [name, *arguments],
        "status": status,
        "seconds": round(time.time() - begun, 2),
        "stderr": tail,
        "inline_lines": lines,
    }
    with open(os.path.join(LOG, "commands.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    return status


def python_words(name: str, arguments: list) -> list | None:
    """What the interpreter is given; nothing for an installation."""
    if name in ("pip", "pip3"):
        return None if arguments[:1] == ["install"] else ["-m", "pip", *arguments]
    if name != "uv":
        return None if arguments[:3] == ["-m", "pip", "install"] else arguments
    if arguments[:1] != ["run"]:
        return None
    rest = arguments[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c", "-"):
        rest = rest[2:] if rest[0] in WITH_VALUE else rest[1:]
    if rest and rest[0] in ("python", "python3"):
        rest = rest[1:]
    return rest


def given_code(words: list | None) -> tuple:
    """Lines of a program that is in no file, and what standard input gave."""
    if words and words[0] == "-c" and len(words) > 1:
        return words[1].splitlines(), None
    if words is not None and words[:1] in ([], ["-"]) and not sys.stdin.isatty():
        data = sys.stdin.buffer.read()
        return data.decode("utf-8", "replace").splitlines(), data
    return [], None


def run(words: list, environment: dict, data: bytes | None) -> tuple:
    """Run it with the streams of this process; the status, and the end of standard error."""
    process = subprocess.Popen(
        words,
        stdin=None if data is None else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda sent, _: process.send_signal(sent))
    tail = bytearray()

    def pass_on() -> None:
        while part := os.read(process.stderr.fileno(), 65536):
            os.write(2, part)
            tail.extend(part)
            del tail[:-TAIL]

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    if data is not None:
        try:
            process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass
    status = process.wait()
    thread.join(2)
    return (status if status >= 0 else 128 - status), tail.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())

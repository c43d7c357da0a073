"""Refuse, and write down, any connection that Python code makes off this machine.

Installed as an audit hook, so no library can bypass it from Python; Rust sockets go through the
proxy of ``worlds.proxy``, which refuses by itself. Also runs in child processes (``site/``).
"""

from __future__ import annotations

import ipaddress
import os
import sys

LOG_VARIABLE = "NETWORK_GUARD_LOG"
"""Path of the file that collects refused addresses. Without it the guard is off."""


def install() -> None:
    """Watch this process from now on. An audit hook cannot be removed again."""
    sys.addaudithook(_hook)


def _hook(event: str, args: tuple) -> None:
    if event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        return
    log = os.environ.get(LOG_VARIABLE)
    if not log:
        return
    host = args[0] if event == "socket.getaddrinfo" else _host_of(args[1])
    if host is None or _is_local(host):
        return
    with open(log, "a") as file:
        file.write(f"{event} {host!r}\n")
    raise PermissionError(f"network guard: {event} to {host!r}")


def _host_of(address: object) -> str | None:
    # AF_UNIX addresses are strings or bytes, AF_INET and AF_INET6 are tuples.
    return address[0] if isinstance(address, tuple) and isinstance(address[0], str) else None


def _is_local(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in ("", "localhost", "0.0.0.0", "::"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name == os.uname().nodename

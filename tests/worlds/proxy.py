"""A forward proxy on 127.0.0.1 that stands between the blocks and every host they name.

Clients find it through ``HTTPS_PROXY`` and trust its throw-away CA through ``SSL_CERT_FILE``, so a
block keeps the URL of the real service. A host that a world routes reaches its emulator; every
other host is refused and remembered, which makes the proxy the network guard for libraries whose
sockets Python cannot see (obstore and Icechunk are Rust).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mitmproxy import http
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from worlds.faults import Fault


class Address(NamedTuple):
    """Where an emulator listens."""

    host: str
    port: int
    scheme: str = "http"


Route = Callable[[http.HTTPFlow], Address | None]
"""Looks at a request. Returns the emulator's address, or None once it has answered by itself."""


class NoRoute(LookupError):
    """Raised by a route that does not know the host."""


class Proxy:
    """TLS-terminating proxy in a thread of its own. ``start`` before use, ``stop`` after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.routes: list[Route] = []
        self.fault: Fault | None = None
        self.refused: list[str] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def certificate(self) -> Path:
        """The CA that a client has to trust."""
        return self.folder / "mitmproxy-ca-cert.pem"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a client to this proxy."""
        url = f"http://127.0.0.1:{self.port}"
        return {
            "HTTP_PROXY": url,
            "HTTPS_PROXY": url,
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(self.certificate),
            "REQUESTS_CA_BUNDLE": str(self.certificate),
        }

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(30):
            raise RuntimeError("the proxy did not start within 30 s")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._master.shutdown)
        self._thread.join(10)

    async def _serve(self) -> None:
        options = Options(listen_host="127.0.0.1", listen_port=0, confdir=str(self.folder))
        self._master = DumpMaster(options, with_termlog=False, with_dumper=False)
        # Lazy: the address a client asks for must never be dialled, only the emulator's.
        options.update(connection_strategy="lazy", upstream_cert=False, http2=False)
        # An emulator that insists on TLS has a certificate of its own making.
        options.update(ssl_insecure=True)
        self._master.addons.add(_Addon(self))
        self._loop = asyncio.get_running_loop()
        await self._master.run()

    def find_route(self, flow: http.HTTPFlow) -> Address | None:
        """The answer of the first route that knows the host; raise ``NoRoute`` if none does."""
        for route in self.routes:
            try:
                return route(flow)
            except NoRoute:
                continue
        raise NoRoute(flow.request.pretty_host)

    def listening(self) -> None:
        """Note the port that mitmproxy got, and let ``start`` return."""
        self.port = self._master.addons.get("proxyserver").listen_addrs()[0][1]
        self._started.set()


class _Addon:
    """What mitmproxy calls. Kept apart from the proxy: it evaluates every attribute it sees."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def running(self) -> None:
        """Mitmproxy listens."""
        self._proxy.listening()

    async def request(self, flow: http.HTTPFlow) -> None:
        """A request came in: let a fault have it, route it or refuse it."""
        host = flow.request.pretty_host
        fault = self._proxy.fault
        if fault is not None and fault.before is not None and fault.takes(flow.request):
            waiting = fault.before(flow)
            if waiting is not None:
                await waiting
            if flow.response is not None or flow.error is not None:
                return
        try:
            address = self._proxy.find_route(flow)
        except NoRoute:
            self._proxy.refused.append(f"{flow.request.method} {flow.request.pretty_url}")
            flow.response = http.Response.make(502, f"no route to {host} in this world")
            return
        if address is None:
            return
        host_header = flow.request.headers.get("Host", host)
        flow.request.host, flow.request.port, flow.request.scheme = address
        # The AWS SDK sends absolute-form URLs inside the tunnel; emulators expect origin form.
        flow.request.authority = ""
        flow.request.headers["Host"] = host_header

    def response(self, flow: http.HTTPFlow) -> None:
        """An emulator answered: let a fault have the answer."""
        fault = self._proxy.fault
        if fault is not None and fault.after is not None and fault.takes(flow.request):
            fault.after(flow)

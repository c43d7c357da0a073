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

from mitmproxy import http
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from worlds.faults import Address, Fault

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
        self._asked: set[str] = set()
        self._asked_before: set[str] = set()
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

    def begin_test(self) -> None:
        """Forget routes, fault and refusals of the test before."""
        self.refused.clear()
        self.routes.clear()
        self.fault = None
        self._asked_before |= self._asked
        self._asked.clear()

    def note(self, request: str) -> None:
        """Remember that this test asks for it."""
        self._asked.add(request)

    def refuse(self, request: str) -> None:
        """Count a request to a host that no world has.

        Rust clients go on retrying on their own threads after the call that asked has raised. Such
        a repetition of an earlier test's request says nothing about the present one.
        """
        if request not in self._asked_before:
            self.refused.append(request)

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
        asked = f"{flow.request.method} {flow.request.pretty_url}"
        fault = self._proxy.fault
        if fault is not None and fault.before is not None and fault.takes(flow.request):
            self._proxy.note(asked)
            waiting = fault.before(flow)
            address = await waiting if waiting is not None else None
            if address is not None:
                flow.metadata["stream"] = True
                _lead(flow, address)
            if address is not None or flow.response is not None or flow.error is not None:
                return
        try:
            address = self._proxy.find_route(flow)
        except NoRoute:
            self._proxy.refuse(asked)
            flow.response = http.Response.make(502, f"no route to {host} in this world")
            return
        self._proxy.note(asked)
        if address is None:
            return
        _lead(flow, address)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Pass on what a stalling server sends as it comes."""
        assert flow.response is not None
        flow.response.stream = flow.metadata.get("stream", False)

    def response(self, flow: http.HTTPFlow) -> None:
        """An emulator answered: let a fault have the answer."""
        fault = self._proxy.fault
        if fault is not None and fault.after is not None and fault.takes(flow.request):
            fault.after(flow)


def _lead(flow: http.HTTPFlow, address: Address) -> None:
    """Send the request to ``address``, with the Host header that the client wrote."""
    host_header = flow.request.headers.get("Host", flow.request.pretty_host)
    flow.request.host, flow.request.port, flow.request.scheme = address
    # The AWS SDK sends absolute-form URLs inside the tunnel; emulators expect origin form.
    flow.request.authority = ""
    flow.request.headers["Host"] = host_header

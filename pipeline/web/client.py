"""One request with one deadline and one bound on size, over httpcore: its own timeouts are for a single read each."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpcore2 as httpcore

from pipeline.log import printable

AGENT = "crisis (feature extraction of crisis posts)"
_HEADERS = 1 << 18
"""Bytes of status lines, headers and chunk sizes that an answer may have beside its body."""


class WebError(Exception):
    """A request that gave no answer; the message is a few words: "the connection was refused"."""


class TooLarge(WebError):
    """More bytes than were asked for."""


class PrivateAddress(WebError):
    """The name leads to an address of this machine or of its own network."""


@dataclass(frozen=True)
class Answer:
    """What a server sent: `headers` by lower-case name (the last of several), `body` as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """One connection at a time, kept open between requests to the same host; a context manager.

    timeout: seconds for the whole of a request, from resolving the name to the last byte. most: bytes of a body.
    private: whether addresses of this machine and of its network may be spoken to. proxies: whether the proxies of the
    environment are used (they are never for this machine's own addresses).
    """

    def __init__(self, *, timeout: float, most: int, private: bool = True, proxies: bool = False) -> None:
        self.timeout = timeout
        self.most = most
        self._guard = _Guard(private)
        self._proxies = proxies
        self._pools: dict[str | None, httpcore.ConnectionPool] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._guard.forget()

    def ask(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
        """The server's answer, redirects and all other statuses included.

        Raises `TimeoutError` when it is not whole within the deadline, `TooLarge`, `PrivateAddress`, and `WebError` for
        a server that cannot be reached or breaks the protocol.
        """
        sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})}
        self._guard.begin(self.timeout, self.most + _HEADERS)
        try:
            pool = self._pool(url)
            with pool.stream(method, url, headers=list(sent.items()), content=body) as response:
                found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Answer(response.status, found, self._body(response, found))
        except (httpcore.TimeoutException, TimeoutError):
            self.close()
            raise TimeoutError(f"no whole answer within {self.timeout:g} s") from None
        except WebError:
            self.close()
            raise
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, OSError, ValueError) as error:
            self.close()
            if self._guard.left() <= 0:
                raise TimeoutError(f"no whole answer within {self.timeout:g} s") from None
            raise WebError(_words(error)) from error
        finally:
            self._guard.end()

    def _body(self, response: httpcore.Response, headers: Mapping[str, str]) -> bytes:
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise WebError(f"the answer is packed ({printable(coding)[:20]}), which was not asked for")
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > self.most:
            raise TooLarge(f"more than {self.most:,} bytes")
        parts, size = [], 0
        for block in response.iter_stream():
            size += len(block)
            if size > self.most:
                raise TooLarge(f"more than {self.most:,} bytes")
            parts.append(block)
        # hung up on at the deadline, a body that only the connection's end ends looks like a whole one
        self._guard.remaining()
        return b"".join(parts)

    def _pool(self, url: str) -> httpcore.ConnectionPool:
        proxy = _proxy_for(url) if self._proxies else None
        if proxy not in self._pools:
            self._pools[proxy] = httpcore.ConnectionPool(
                proxy=None if proxy is None else httpcore.Proxy(proxy), max_connections=1, network_backend=self._guard
            )
        return self._pools[proxy]


class _Guard(httpcore.NetworkBackend):
    """Connects only where that is allowed, and gives every stream what is left of one request's time and bytes."""

    def __init__(self, private: bool) -> None:
        self._private = private
        self._plain = httpcore.SyncBackend()
        self._deadline = 0.0
        self._bytes = 0
        self._sockets: list[socket.socket] = []
        self._watch: threading.Timer | None = None

    def begin(self, seconds: float, most: int) -> None:
        """A new request: so many seconds, and so many bytes of answer."""
        self._deadline = time.monotonic() + seconds
        self._bytes = most
        # ends also what has a timeout for each of its steps alone, such as a handshake that comes byte by byte
        self._watch = threading.Timer(seconds, self._hang_up)
        self._watch.daemon = True
        self._watch.start()

    def end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - time.monotonic()

    def remaining(self) -> float:
        """The same; `TimeoutError` where there are none."""
        if (left := self.left()) <= 0:
            raise httpcore.ReadTimeout
        return left

    def spend(self, count: int) -> None:
        """Count bytes that were read."""
        self._bytes -= count
        if self._bytes < 0:
            raise TooLarge("more bytes around its body than an answer needs")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        found = self._resolved(host, port)
        if not self._private and not all(_is_public(address) for address in found):
            raise PrivateAddress("it is an address of this machine or of its own network")
        # the address that was looked at is the one that is connected to: a name may lead elsewhere a moment later
        stream = self._plain.connect_tcp(found[0], port, self.remaining(), local_address, socket_options)
        # a copy, since TLS takes the socket itself over
        self._sockets.append(stream.get_extra_info("socket").dup())
        return _Stream(self, stream)

    def _resolved(self, host: str, port: int) -> list[str]:
        """The addresses of a name; a resolver that hangs costs no more than the time that is left."""
        said: list[Any] = []

        def ask() -> None:
            try:
                said.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                said.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(self.remaining())
        if not said:
            raise httpcore.ConnectTimeout
        if isinstance(said[0], Exception):
            raise WebError(f"there is no host '{printable(host)[:100]}'") from said[0]
        return [str(entry[4][0]) for entry in said[0]]

    def _hang_up(self) -> None:
        for copy in self._sockets:
            with suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)
        self.forget()

    def forget(self) -> None:
        """Let go of the sockets of connections that are closed."""
        for copy in self._sockets:
            copy.close()
        self._sockets.clear()


class _Stream(httpcore.NetworkStream):
    """A stream whose every step has what is left of the request's time."""

    def __init__(self, guard: _Guard, stream: httpcore.NetworkStream) -> None:
        self._guard = guard
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._guard.remaining())
        self._guard.spend(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._guard.remaining())

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(self._guard, self._stream.start_tls(ssl_context, server_hostname, self._guard.remaining()))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_local(host: str) -> bool:
    """Whether a host's name is one of this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global and not (mapped or found).is_multicast


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address; a proxy cannot reach this machine's own loopback."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    bypass: Callable[[str], Any] = urllib.request.proxy_bypass
    if is_local(host) or bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _words(error: Exception) -> str:
    """A few words about what went wrong; nothing that a server said acts on a terminal."""
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    told = str(getattr(cause, "strerror", None) or error or type(error).__name__)
    return printable(" ".join(told.split()))[:120]

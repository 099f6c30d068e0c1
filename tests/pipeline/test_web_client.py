"""One deadline and one bound on size for a request, whatever a server does; addresses that may not be spoken to."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import pytest

from pipeline.web.client import Client, PrivateAddress, TooLarge, WebError, is_local
from pipeline.web.waiting import retry_after
from tests.pipeline.web_support import ODD_LENGTHS, OK, TRICKLES, drip, flood, raw_server, said

TIMEOUT = 0.6


def say(answer: bytes, connection: socket.socket, head: bytes, over: threading.Event) -> None:
    connection.sendall(answer)


def ask(url: str, most: int = 1 << 20, timeout: float = TIMEOUT, private: bool = True) -> bytes:
    with Client(timeout=timeout, most=most, private=private) as client:
        return client.ask("GET", url).body


@pytest.mark.parametrize("how", TRICKLES)
def test_what_never_ends_is_ended_at_the_deadline(how: str) -> None:
    started = time.monotonic()
    with raw_server(TRICKLES[how]) as address, pytest.raises((TimeoutError, WebError)):
        ask(address)
    assert time.monotonic() - started < TIMEOUT + 1


def test_a_handshake_that_comes_byte_by_byte_is_ended_too() -> None:
    """TLS has a timeout for each of its steps alone; the server here sends a record's head and goes on dripping."""

    def speak() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x16\x03\x03\x40\x00")
            while not over.wait(0.02):
                try:
                    connection.sendall(b"\x02")
                except OSError:
                    return

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        started = time.monotonic()
        with pytest.raises((TimeoutError, WebError)):
            ask(f"https://127.0.0.1:{listening.getsockname()[1]}/")
        assert time.monotonic() - started < TIMEOUT + 1
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "speak",
    [
        flood(OK + b"Connection: close\r\n\r\n", b"x" * 65536),
        drip(OK + b"Content-Length: 10000000\r\n\r\n", b"x" * 100),
        flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nxxxxx\r\n" * 1000),
        flood(OK, b"X-A: " + b"a" * 60000 + b"\r\n"),
    ],
)
def test_what_is_too_large_is_not_waited_for(speak: object) -> None:
    started = time.monotonic()
    with raw_server(speak) as address, pytest.raises((TooLarge, WebError)):  # type: ignore[arg-type]
        ask(address, most=100_000, timeout=20)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("length", ODD_LENGTHS)
def test_an_odd_length_is_an_error_of_ours(length: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: " + length.encode() + b"\r\nConnection: close\r\n\r\nhello"
    with raw_server(partial(say, answer)) as address:
        try:
            found = ask(address)
        except (WebError, TimeoutError):
            return
    assert found in (b"hello", b"")


def test_two_lengths_and_a_broken_off_body_are_errors() -> None:
    two = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello!"
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhello"
    for answer in (two, short, b"garbage\r\n\r\n", b""):
        speak = partial(say, answer)
        with raw_server(speak) as address, pytest.raises(WebError):
            ask(address, timeout=5)


def test_a_packed_answer_is_refused() -> None:
    packed = said(200, b"\x1f\x8b" + b"\0" * 100, Content_Encoding="gzip\x1b[31m")
    with raw_server(partial(say, packed)) as address, pytest.raises(WebError) as told:
        ask(address)
    assert "\x1b" not in str(told.value)


def test_an_answer_is_read_and_the_connection_used_again() -> None:
    connections = []

    def speak(connection: socket.socket, head: bytes, over: threading.Event) -> None:
        connections.append(connection)
        while head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Seen: Yes\r\n\r\nhi")
            head = connection.recv(65536)

    with raw_server(speak) as address, Client(timeout=5, most=10) as client:
        for _ in range(3):
            found = client.ask("GET", address)
            assert (found.status, found.body, found.headers["x-seen"]) == (200, b"hi", "Yes")
    assert len(connections) == 1


MAPPED, METADATA, SHARED = "[::ffff:127.0.0.1]", "169.254.169.254", "100.64.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.1.2.3", "0.0.0.0", MAPPED, METADATA, SHARED])
def test_private_addresses_are_not_connected_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("it was connected to")

    monkeypatch.setattr("httpcore2.SyncBackend.connect_tcp", connect)
    with pytest.raises(PrivateAddress):
        ask(f"http://{host}:80/", private=False)


def test_a_name_that_leads_home_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only one of its addresses does, and where it leads elsewhere when it is asked for again."""
    led = [["93.184.216.34"], ["10.0.0.1"]]
    connected: list[str] = []

    def resolved(host: str, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in led[0]]

    def connect(self: object, host: str, *_: object) -> None:
        connected.append(host)
        raise OSError(111, "no")

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr("httpcore2.SyncBackend.connect_tcp", connect)
    with pytest.raises(WebError):
        ask("http://looks.example/", private=False)
    assert connected == ["93.184.216.34"], "the address that was looked at, and not the name"
    for led[0] in (["10.0.0.1"], ["93.184.216.34", "10.0.0.1"]):
        with pytest.raises(PrivateAddress):
            ask("http://looks.example/", private=False)
    assert connected == ["93.184.216.34"]


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        ask("http://slow.example/")
    over.set()
    assert time.monotonic() - started < TIMEOUT + 1


def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            connection, _ = listening.accept()
            with connection, warnings.catch_warnings():
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                try:
                    context.wrap_socket(connection, server_side=True)
                except OSError:
                    return

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        with pytest.raises(WebError):
            ask(f"https://127.0.0.1:{listening.getsockname()[1]}/", timeout=5)
        thread.join()


def test_this_machines_own_names() -> None:
    assert [is_local(host) for host in ("localhost", "127.3.4.5", "::1", "10.0.0.1", "example.org")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("inf", None), ("nan", None), ("soon", None), ("", None), ("1e999", None)],
)
def test_how_long_a_server_asks_to_be_left_alone(value: str, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_a_date_to_wait_for() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (retry_after("Fri, 01 Jan 2999 00:00:00 GMT") or 0) > 1e6

"""Real servers on loopback that speak as a test says, down to the byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Speak = Callable[[socket.socket, bytes, threading.Event], None]


@contextmanager
def raw_server(speak: Speak) -> Iterator[str]:
    """ "http://127.0.0.1:PORT" of a server that reads a request's head and has `speak(connection, head, over)` answer;
    `over` is set when the test is through.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head:
                    data = connection.recv(65536)
                    if not data:
                        return
                    head += data
                speak(connection, head, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def said(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer that ends the connection."""
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def drip(start: bytes, again: bytes, every: float = 0.02) -> Speak:
    """Say `start`, and then `again` for ever, a little at a time."""

    def speak(connection: socket.socket, head: bytes, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(every):
            connection.sendall(again)

    return speak


def flood(start: bytes, again: bytes) -> Speak:
    """Say `start`, and then `again` for ever, as fast as it goes."""

    def speak(connection: socket.socket, head: bytes, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.is_set():
            connection.sendall(again)

    return speak


OK = b"HTTP/1.1 200 OK\r\n"
TRICKLES = {
    "nothing": drip(b"", b""),
    "status line": drip(b"HTTP/1.1 200 O", b"K"),
    "continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "continue, fast": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "header": drip(OK + b"X-A: ", b"a"),
    "headers": drip(OK, b"X-A: a\r\n"),
    "body": drip(OK + b"Content-Length: 1000000\r\n\r\n", b" "),
    "body without end": drip(OK + b"Connection: close\r\n\r\n", b" "),
    "chunk size": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunk extension": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
    "error body": drip(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n", b" "),
}
"""Ways to answer and never be done."""
ODD_LENGTHS = ("-5", "many", "1e3", "5, 6", "٣", "99999999999999999999999", " ")

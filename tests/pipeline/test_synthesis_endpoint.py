"""A real server on loopback that speaks the chat protocol, and fails in every way such servers do."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.synthesis.endpoint import BadAnswer, Endpoint, SourceDown, check_address, key_from
from tests.pipeline.synthesis_support import Reply, chat_server, completion
from tests.pipeline.web_support import TRICKLES, raw_server

GOOD = Reply(completion("The smoke is everywhere"))


def endpoint(address: str, waits: list[float] | None = None, **options: Any) -> Endpoint:
    options = {"timeout": 5.0, "tries": 3, **options}
    return Endpoint(address, "small", wait=(waits if waits is not None else []).append, **options)


def test_a_request_says_what_the_protocol_asks_for_and_the_answer_is_read() -> None:
    with chat_server(lambda n, body: GOOD) as chat:
        found = endpoint(chat.address + "/", key="sesame", temperature=0.5).write("be brief", "write", seed=7)
    assert found == ("The smoke is everywhere", False)
    ((body, headers),) = chat.requests
    assert body == {
        "model": "small",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "write"}],
        "temperature": 0.5,
        "max_tokens": 400,
        "seed": 7,
    }
    assert headers["Authorization"] == "Bearer sesame"
    assert headers["Content-Type"] == "application/json"


def test_a_cut_answer_an_answer_in_parts_and_none_are_told() -> None:
    parts = b'{"choices": [{"message": {"content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}}]}'
    replies = [Reply(completion("half a", "length")), Reply(parts), Reply(completion(None))]
    with chat_server(lambda n, body: replies[n]) as chat:
        source = endpoint(chat.address)
        assert [source.write("", "", n) for n in range(3)] == [("half a", True), ("a b", False), ("", False)]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_failure_is_waited_out_with_growing_pauses(status: int) -> None:
    waits: list[float] = []
    with chat_server(lambda n, body: Reply(b"later", status) if n < 2 else GOOD) as chat:
        source = endpoint(chat.address, waits)
        assert source.write("", "", 0)[0] == "The smoke is everywhere"
    assert waits == [1.0, 2.0]
    assert source.failures == {f"HTTP {status}": 2}


def test_the_pause_a_server_asks_for_is_kept_and_bounded() -> None:
    waits: list[float] = []
    asked = ["7", "86400", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"]
    with chat_server(lambda n, b: Reply(b"", 429, {"Retry-After": asked[n]}) if n < 4 else GOOD) as chat:
        endpoint(chat.address, waits, tries=5).write("", "", 0)
    assert waits == [7.0, 60.0, 0.0, 8.0]


def test_a_server_that_only_fails_is_given_up_in_one_sentence() -> None:
    message = b'{"error": {"message": "out of\\ncredit for sesame"}}'
    with chat_server(lambda n, body: Reply(message, 429)) as chat:
        source = endpoint(chat.address, key="sesame")
        with pytest.raises(SourceDown) as found:
            source.write("", "", 0)
    assert len(chat.requests) == 3
    assert str(found.value) == (
        f"The endpoint {chat.address} answered 429 (out of credit for ***), 3 times in a row; see that it runs and run "
        "the same command again to go on."
    )


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "limits"),
        (401, "--api-key-env"),
        (403, "--api-key-env"),
        (404, "ends in /v1"),
        (302, "points elsewhere"),
        (307, "points elsewhere"),
    ],
)
def test_a_lasting_refusal_is_not_asked_again(status: int, advice: str) -> None:
    headers = {"Location": "http://127.0.0.1:9/v1/chat/completions"} if 300 <= status < 400 else {}
    refusal = Reply(b'{"detail": "no"}', status, headers)
    with chat_server(lambda n, body: refusal) as chat, pytest.raises(SourceDown, match=advice):
        endpoint(chat.address, key="sesame").write("", "", 0)
    assert len(chat.requests) == 1


def test_nobody_listening_is_told_after_all_tries() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waits: list[float] = []
    source = endpoint(f"http://127.0.0.1:{port}/v1", waits)
    with pytest.raises(SourceDown, match=r"cannot be reached \(the connection was refused\), 3 times in a row"):
        source.write("", "", 0)
    assert waits == [1.0, 2.0]
    assert source.failures == {"connection refused": 3}


@pytest.mark.parametrize("reply", [Reply(b"x", slow=30.0), Reply(completion("a long one"), drip=0.1)])
def test_a_server_that_is_slow_or_drips_is_not_waited_for(reply: Reply) -> None:
    started = time.monotonic()
    with chat_server(lambda n, body: reply) as chat:
        source = endpoint(chat.address, timeout=0.4, tries=2)
        with pytest.raises(SourceDown, match=r"gave no answer within 0.4 s, 2 times in a row"):
            source.write("", "", 0)
    assert time.monotonic() - started < 5
    assert source.failures == {"no answer in time": 2}


def test_a_connection_that_breaks_off_is_tried_again() -> None:
    short = Reply(b'{"cho', headers={"Content-Length": "4000"})
    with chat_server(lambda n, body: (Reply(b"", hang_up=True), short, GOOD)[n]) as chat:
        source = endpoint(chat.address)
        assert source.write("", "", 0)[0] == "The smoke is everywhere"
    assert source.failures.total() == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"{",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_rubbish_is_a_bad_answer_and_no_crash(body: bytes) -> None:
    with chat_server(lambda n, request: Reply(body)) as chat, pytest.raises(BadAnswer, match="JSON"):
        endpoint(chat.address).write("", "", 0)


def test_an_endless_answer_is_cut_off() -> None:
    with chat_server(lambda n, request: Reply(b" " * (5 << 20))) as chat, pytest.raises(BadAnswer, match="4 MiB"):
        endpoint(chat.address).write("", "", 0)


@pytest.mark.parametrize(
    "address",
    [
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://h:99999/v1",
        "http://h/v 1",
        "http://k@h/v1",
        "http://h/?k=1",
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        check_address(address)
    assert check_address("http://h:1/v1/chat/completions") == "http://h:1/v1"


def test_a_key_comes_from_its_variable_and_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", " sesame\n")
    assert key_from("MY_KEY") == "sesame"
    assert "sesame" not in repr(Endpoint("http://h/v1", "m", "sesame"))
    monkeypatch.setenv("MY_KEY", "")
    with pytest.raises(UsageError, match="MY_KEY holds no key"):
        key_from("MY_KEY")
    monkeypatch.setenv("MY_KEY", "se\nsame")
    with pytest.raises(UsageError, match="cannot be sent"):
        key_from("MY_KEY")


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with chat_server(lambda n, body: GOOD) as chat:
        assert endpoint(chat.address).write("", "", 0)[0] == "The smoke is everywhere"


@pytest.mark.parametrize("how", TRICKLES)
def test_an_endpoint_that_is_never_done_is_left_in_time(how: str) -> None:
    started = time.monotonic()
    with raw_server(TRICKLES[how]) as address, pytest.raises((SourceDown, BadAnswer)):
        endpoint(f"{address}/v1", timeout=0.5, tries=1).write("", "", 0)
    assert time.monotonic() - started < 1.5

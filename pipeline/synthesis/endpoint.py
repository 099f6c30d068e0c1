"""Texts from any server that speaks the OpenAI chat protocol, and all the ways in which such a server fails."""

from __future__ import annotations

import json
import os
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from crisis_errors import in_one_line
from pipeline.errors import UsageError
from pipeline.web.client import Answer, Client, TooLarge, WebError
from pipeline.web.waiting import retry_after

MAX_BYTES = 4 << 20
LONGEST_WAIT = 60.0
FIRST_WAIT = 1.0
PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Answers that may be another one a moment later."""


class SourceDown(Exception):
    """The source gives nothing any more; the message is one sentence about it."""


class BadAnswer(Exception):
    """The server answered, but with something that is no chat completion; the message is a few words."""


class TextSource(Protocol):
    """Writes texts. `label` names it in every row; `failures` counts what went wrong on the way, per reason."""

    failures: Counter[str]

    @property
    def label(self) -> str: ...

    def write(self, system: str, user: str, seed: int) -> tuple[str, bool]:
        """The raw answer, and whether the length limit cut it.

        Raises `BadAnswer` for one answer that is none, `SourceDown` when it is of no use to ask again.
        """


@dataclass
class Endpoint:
    """A chat endpoint at `address` ("http://host:port/v1"). `timeout` is for the whole answer, in seconds; `tries` how
    often one request is sent before the endpoint counts as down. `wait` sleeps between them (in seconds).
    """

    address: str
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 1.0
    max_tokens: int = 400
    timeout: float = 60.0
    tries: int = 5
    wait: Callable[[float], None] = time.sleep
    failures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.address = check_address(self.address)

    @property
    def label(self) -> str:
        return self.model

    def write(self, system: str, user: str, seed: int) -> tuple[str, bool]:
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": seed,
        }
        pause = FIRST_WAIT
        for attempt in range(1, self.tries + 1):
            asked = None
            try:
                answer = self._post(json.dumps(body).encode())
            except TimeoutError:
                self._count("no answer in time")
                problem = f"gave no answer within {self.timeout:g} s"
            except WebError as error:
                self._count("connection refused" if "refused" in str(error) else "not reached")
                problem = f"cannot be reached ({error})"
            else:
                if answer.status == 200:
                    return _choice(answer.body)
                words, asked = _complaint(answer), _asked_wait(answer)
                self._count(f"HTTP {answer.status}")
                problem = f"answered {answer.status}{self._safe(words)}"
                if answer.status not in PASSING:
                    raise SourceDown(f"The endpoint {self.address} {problem}; {_advice(answer.status)}.")
            if attempt < self.tries:
                self.wait(min(LONGEST_WAIT, asked if asked is not None else pause))
                pause *= 2
        again = f", {self.tries} times in a row" if self.tries > 1 else ""
        raise SourceDown(
            f"The endpoint {self.address} {problem}{again}; see that it runs and run the same command again to go on."
        )

    def _post(self, body: bytes) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            with Client(timeout=self.timeout, most=MAX_BYTES, proxies=True) as client:
                return client.ask("POST", f"{self.address}/chat/completions", headers, body)
        except TooLarge:
            raise BadAnswer("answer of more than 4 MiB") from None

    def _count(self, reason: str) -> None:
        self.failures[reason] += 1

    def _safe(self, words: str) -> str:
        """A server may repeat the key in its complaint; no message of ours does."""
        return words.replace(self.key, "***") if self.key else words


def check_address(address: str) -> str:
    """The address without a closing slash; raises `UsageError` for one that is no http(s) address, or holds a key."""
    try:
        parts = urllib.parse.urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in address):
        raise UsageError(f"'{address}' is no address of an endpoint; give one such as http://localhost:8000/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("The endpoint's address must not hold a user, key or query; name a variable: --api-key-env.")
    return address.rstrip("/").removesuffix("/chat/completions")


def key_from(variable: str | None) -> str | None:
    """The API key in an environment variable; raises `UsageError` where it is not set or cannot be sent."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"The environment variable {variable} holds no key (--api-key-env).")
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"The key in {variable} holds characters that cannot be sent (--api-key-env).")
    return key


def _choice(body: bytes) -> tuple[str, bool]:
    """The first choice's text, and whether it was cut."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer("answer that is no JSON") from None
    try:
        choice = content["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise BadAnswer("JSON without a choice") from None
    if isinstance(text, list):
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    if text is not None and not isinstance(text, str):
        raise BadAnswer("JSON without a choice")
    return text or "", choice.get("finish_reason") == "length"


def _complaint(answer: Answer) -> str:
    """The server's own words about an error, shortened, in brackets."""
    try:
        content = json.loads(answer.body[: 1 << 16])
        found = content.get("error", content.get("detail", content.get("message", "")))
        message = found.get("message", "") if isinstance(found, dict) else found
    except (ValueError, AttributeError, RecursionError):
        return ""
    words = in_one_line(str(message))
    return f" ({words[:160]})" if words else ""


def _asked_wait(answer: Answer) -> float | None:
    """Seconds that the server asked to wait (Retry-After: seconds or a date)."""
    return retry_after(answer.headers.get("retry-after", ""))


def _advice(code: int) -> str:
    if code in (401, 403):
        return "name the variable that holds its key with --api-key-env"
    if code == 404:
        return "check the address (it usually ends in /v1) and the model's name (--text-model)"
    if 300 <= code < 400:
        return "it points elsewhere; give that address"
    return "check the model's name (--text-model) and its limits"

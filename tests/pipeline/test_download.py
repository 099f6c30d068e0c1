"""Photos by address: fetched once each, politely, never half of one, from nowhere that was not meant."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.download.links import are_addresses, led_to, plain
from tests.pipeline.web_support import OK, drip, raw_server, said

Run = Callable[..., tuple[int, str, str]]


def photo(colour: str, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (20, 16), colour).save(data, kind)
    return data.getvalue()


RED, BLUE = photo("red"), photo("blue", "JPEG")


class Site:
    """What a server was asked for, and when."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.open = self.most = 0
        self.lock = threading.Lock()
        self.answers: dict[str, list[bytes]] = {}

    def speak(self, connection: socket.socket, head: bytes, over: threading.Event) -> None:
        path = head.split()[1].decode()
        assert b"crisis" in head.split(b"User-Agent: ")[1].splitlines()[0]
        with self.lock:
            self.asked.append((path, time.monotonic()))
            self.open += 1
            self.most = max(self.most, self.open)
        time.sleep(0.01)
        if path == "/drip":
            drip(OK + b"Content-Length: 100000\r\n\r\n", b" ")(connection, head, over)
        answers = self.answers.get(path, [said(404)])
        connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
        with self.lock:
            self.open -= 1

    def counts(self) -> Counter[str]:
        return Counter(path for path, _ in self.asked)


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    found = Site()
    with raw_server(found.speak) as address:
        yield found, address


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(folder: Path, cells: list[str], column: str = "image_url") -> None:
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", column, "label"])
        for row, cell in enumerate(cells):
            writer.writerow([f"{900000000000000000 + row}", f'=tweet "{row}",\nünd mehr', cell, "ab"[row % 2]])


DOWNLOAD = ["data", "download", "--data", "t.csv", "--output", "out", "--delay", "0", "-q", "--allow-private"]


def fetched(run: Run, *more: str) -> tuple[int, dict[str, Any], list[dict[str, str]]]:
    code, out, error = run(*DOWNLOAD, *more, "--json")
    assert "Traceback" not in error
    with Path("out/posts.csv").open(newline="", encoding="utf-8") as file:
        return code, json.loads(out), list(csv.DictReader(file))


def test_photos_become_files_and_all_else_stays(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {"/r?x=1": [said(200, RED)], "/b.png": [said(200, BLUE, Content_Type="text/html")]}
    table(place, [f"{at}/r?x=1", f"{at}/b.png", f" {at}/r?x=1 ", ""])
    code, told, rows = fetched(run)
    assert (code, told["photos"], told["failed"]) == (0, 2, {})
    assert served.counts() == {"/r?x=1": 1, "/b.png": 1}, "an address is asked for once"
    with (place / "t.csv").open(newline="", encoding="utf-8") as file:
        before = list(csv.DictReader(file))
    for row, old in zip(rows, before, strict=True):
        assert row["image_url_address"] == old["image_url"]
        assert {name: row[name] for name in ("id", "text", "label")} == {n: old[n] for n in ("id", "text", "label")}
    files = [place / "out" / row["image_url"] for row in rows[:3]]
    assert [file.read_bytes() for file in files] == [RED, BLUE, RED]
    assert [file.suffix for file in files] == [".png", ".jpg", ".png"], "by what they are, not by what they are called"
    assert rows[3]["image_url"] == ""
    code, _, error = run(
        "extract", "--model", "classic", "--data", "out/posts.csv", "--image-column", "image_url", "-q"
    )
    assert code == 3, error  # one post has no photo


def test_what_cannot_be_had_is_told_with_its_reason(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {
        "/page": [said(200, b"<html>please log in</html>", Content_Type="image/jpeg")],
        "/large": [b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\nConnection: close\r\n\r\n"],
        "/torn": [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n" + RED[:40]],
        "/half": [said(200, BLUE[: len(BLUE) // 2])],
        "/packed": [said(200, b"\x1f\x8b\x08" + b"\0" * 40, Content_Encoding="gzip")],
        "/loop": [said(302, Location="/loop")],
        "/away": [said(302, Location="file:///etc/passwd")],
        "/odd": [said(302, Location="http://[")],
        "/none": [said(302)],
        "/escape": [said(200, b"x", Content_Encoding="\x1b[31mred")],
    }
    paths = [*served.answers, "/gone"]
    table(place, [f"{at}{path}" for path in paths] + [f"http://127.0.0.1:{unused()}/a.png", "http://x.invalid/b.png"])
    code, told, rows = fetched(run, "--max-mib", "1", "--timeout", "5")
    assert code == 3
    reasons = {address.removeprefix(at): reason for address, reason in told["failed"].items()}
    assert reasons["/page"] == "it is not a photo"
    assert reasons["/gone"] == "HTTP 404"
    assert "more than 1,048,576 bytes" in reasons["/large"]
    assert reasons["/loop"] == "more than 5 redirects"
    assert {reasons[path] for path in ("/away", "/odd")} == {"it leads to no address that can be asked"}
    assert len(reasons) == len(paths) + 2
    assert not any("\x1b" in reason for reason in reasons.values())
    assert all(row["image_url"] == "" for row in rows)
    assert not list((place / "out/photos").iterdir())


def unused() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_second_run_asks_only_for_what_may_be_there_now(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {"/a": [said(200, RED)], "/busy": [said(500)], "/page": [said(200, b"no photo")]}
    table(place, [f"{at}/a", f"{at}/busy", f"{at}/page", f"{at}/gone"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.download.photo.FIRST_WAIT", 0.0)
        assert fetched(run)[0] == 3
        served.answers["/busy"] = [said(200, BLUE)]
        served.asked.clear()
        code, told, _ = fetched(run)
    assert served.counts() == {"/busy": 1}, "nor for what was gone or no photo"
    assert (code, told["photos"]) == (3, 2)
    served.asked.clear()
    served.answers["/gone"] = [said(200, photo("green"))]
    code, told, rows = fetched(run, "--again")
    assert served.counts() == {"/gone": 1, "/page": 1}
    assert told["photos"] == 3
    (place / "out" / rows[0]["image_url"]).unlink()
    served.asked.clear()
    assert fetched(run)[1]["photos"] == 3
    assert served.counts() == {"/a": 1}, "a photo that was deleted is fetched again"


def test_a_server_that_asks_for_a_pause_gets_it(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {
        "/a": [said(429, Retry_After="0.4"), said(200, RED)],
        "/b": [said(503, Retry_After="86400")],
        "/c": [said(500)],
    }
    table(place, [f"{at}/a", f"{at}/b", f"{at}/c"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.download.photo.FIRST_WAIT", 0.0)
        code, told, _ = fetched(run)
    times = [when for path, when in served.asked if path == "/a"]
    assert times[1] - times[0] >= 0.4
    assert served.counts() == {"/a": 2, "/b": 1, "/c": 3}
    assert told["failed"][f"{at}/b"] == "HTTP 503, to be asked again in 86,400 s"
    assert code == 3


def test_one_host_is_asked_for_one_photo_at_a_time_with_pauses(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {f"/{n}": [said(200, photo("red"))] for n in range(6)}
    table(place, [f"{at}/{n}" for n in range(6)])
    assert fetched(run, "--delay", "0.1")[0] == 0
    assert served.most == 1
    times = sorted(when for _, when in served.asked)
    assert min(late - early for early, late in pairwise(times)) >= 0.1


def test_several_photos_in_a_cell_and_files_among_addresses(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {"/a": [said(200, RED)], "/b": [said(200, BLUE)]}
    table(place, [f"{at}/a; {at}/b", f"local.png;{at}/a", f"{at}/gone;{at}/b"])
    _, told, rows = fetched(run, "--image-separator", ";")
    assert told["photos"] == 2
    first, second, third = (row["image_url"].split(";") for row in rows)
    assert second == ["local.png", first[0]]
    assert third == [first[1]]


def test_nothing_private_is_asked_unless_that_is_said(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {"/a": [said(200, RED)]}
    table(
        place,
        [f"{at}/a", "http://169.254.169.254/latest/meta-data", "http://[::1]/x", "ftp://x/y", "file:///etc/passwd"],
    )
    code, out, _ = run(*[word for word in DOWNLOAD if word != "--allow-private"], "--json")
    told = json.loads(out)
    assert code == 3
    assert not served.asked
    assert set(told["failed"].values()) == {"it is an address of this machine or of its own network"}
    assert len(told["failed"]) == 3


def test_the_bytes_of_a_run_are_bounded(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    noise = io.BytesIO()
    Image.frombytes("RGB", (700, 700), os.urandom(700 * 700 * 3)).save(noise, "PNG")
    served.answers = {f"/{n}": [said(200, noise.getvalue())] for n in range(4)}
    table(place, [f"{at}/{n}" for n in range(4)])
    code, told, _ = fetched(run, "--max-total-mib", "2")
    assert (code, told["photos"], told["left"]) == (3, 2, 2)


def test_a_slow_photo_costs_its_timeout_and_no_more(run: Run, place: Path, site: tuple[Site, str]) -> None:
    served, at = site
    served.answers = {"/a": [said(200, RED)]}
    table(place, [f"{at}/drip", f"{at}/a"])
    started = time.monotonic()
    code, told, _ = fetched(run, "--timeout", "1")
    assert time.monotonic() - started < 4
    assert (code, told["photos"]) == (3, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_the_same_command_goes_on(
    place: Path, site: tuple[Site, str], number: signal.Signals
) -> None:
    served, at = site
    colours = [photo("red") + bytes([n]) for n in range(40)]
    served.answers = {f"/{n}": [said(200, colours[n])] for n in range(40)}
    table(place, [f"{at}/{n}" for n in range(40)])
    command = [sys.executable, "-m", "pipeline", *DOWNLOAD, "--delay", "0.05", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(served.asked) < 10:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    whole = {path.read_bytes() for path in (place / "out/photos").glob("[!.]*")}
    assert whole <= set(colours), "no half photo under its name"
    asked = len(served.asked)
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["photos"] == 40
    assert len(served.asked) - asked <= 40 - len(whole) + 1
    assert {path.read_bytes() for path in (place / "out/photos").glob("[!.]*")} == set(colours)


def test_a_table_of_addresses_is_refused_where_photos_are_wanted_and_only_there(
    run: Run, place: Path, site: tuple[Site, str]
) -> None:
    _, at = site
    table(place, [f"{at}/{n}" for n in range(4)])
    code, _, error = run("extract", "--model", "dinov2", "--data", "t.csv")
    assert code == 2
    assert "holds addresses of photos and not files" in error
    command = error.strip().splitlines()[-1].rpartition("with: ")[2].rstrip(".")
    assert command == "crisis data download --dataset table --data t.csv --output photos"
    assert run("data", "stats", "--data", "t.csv")[0] == 0
    table(place, ["a.png", "b.png", f"{at}/c.png"])
    assert run("extract", "--model", "classic", "--data", "t.csv", "-q")[0] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "none.csv"], "There is no table 'none.csv'"),
        (["--data", "t.csv", "--image-column", "pic"], "no image column"),
        (["--data", "t.csv", "--image-column", "label"], "holds no address of a photo"),
        (["--dataset", "sample"], "reads a table"),
        (["--data", "t.csv", "--output", "t.csv"], "is a file; --output names a folder"),
        (["--data", "t.csv", "--output", "mine"], "was not written by this command"),
    ],
)
def test_wrong_use_is_one_sentence(run: Run, place: Path, arguments: list[str], sentence: str) -> None:
    table(place, ["http://x.invalid/a.png"])
    (place / "mine").mkdir()
    (place / "mine/posts.csv").write_text("my own")
    code, _, error = run("data", "download", "--output", "out", *arguments)
    assert code == 2
    assert sentence in error.strip().splitlines()[-1]
    assert (place / "mine/posts.csv").read_text() == "my own"


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        (" HTTP://Example.ORG/a b".replace(" b", "%20b"), "http://example.org/a%20b"),
        ("https://bücher.example/ä?q=ö#part", "https://xn--bcher-kva.example/%C3%A4?q=%C3%B6"),
        ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80/x"),
        ("http://x", "http://x/"),
        ("http://user:secret@x/", None),
        ("http:///x", None),
        ("ftp://x/y", None),
        ("http://x/a b", None),
        ("http://x/\x1b[31m", None),
        ("http://x:99999/", None),
        ("http://[", None),
        ("http://" + "a" * 5000, None),
        ("http://.../", None),
    ],
)
def test_addresses_are_written_as_they_can_be_sent(cell: str, address: str | None) -> None:
    assert plain(cell) == address


def test_where_redirects_lead() -> None:
    assert led_to("https://a.example/x/y", "../z") == "https://a.example/z"
    assert led_to("https://a.example/x", "//b.example/") == "https://b.example/"
    assert led_to("https://a.example/x", "javascript:alert(1)") is None


def test_what_counts_as_addresses() -> None:
    assert are_addresses(["http://a", "https://b", "c.png"])
    assert not are_addresses(["http://a", "c.png", "d.png", ""])
    assert not are_addresses(["", ""])

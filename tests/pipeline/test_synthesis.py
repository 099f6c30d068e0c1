"""`crisis data synthesize` end to end, against a real chat server on loopback: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cache.lock import acquire
from pipeline.datasets.synthetic import TABLE, read_table, write_table
from pipeline.synthesis.make import BARREN, JOURNAL
from tests.pipeline.conftest import Run
from tests.pipeline.synthesis_support import (
    Reply,
    at,
    chat_server,
    command,
    completion,
    everything,
    rows_of,
    tweet,
    write,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    return command(tmp_path)


def test_a_folder_holds_marked_posts_of_both_patterns_with_images_and_sheets(
    run: Run, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_KEY", "sesame")
    with chat_server(write) as chat:
        code, out, err = run(*flags, *at(chat), "--per-pattern", "7", "--api-key-env", "CHAT_KEY")
    assert code == 0, err
    found = json.loads(out)
    assert found["posts"] == {"informative_text": 7, "informative_image": 7}
    rows = rows_of(tmp_path / "syn")
    assert len({row["post_id"] for row in rows}) == len({row["text"] for row in rows}) == 14
    for row in rows:
        labels = {"informative_text": ("informative", "not_informative")}
        expected = labels.get(row["pattern"], ("not_informative", "informative"))
        assert (row["text_label"], row["image_label"], row["label"]) == (*expected, "not_informative")
        assert (row["synthetic"], row["accepted"], row["text_model"]) == ("1", "1", "small")
        assert row["prompt"].startswith("conflict_posts@1-")
        assert row["event"] in ("fire_2017", "flood_2017")
        data = (tmp_path / "syn" / row["image_path"]).read_bytes()
        assert data in {path.read_bytes() for path in (tmp_path / "photos" / row["image_label"]).iterdir()}
    assert [Path(sheet).name for sheet in found["sheets"]] == ["sheet-01.png", "sheet-02.png"]
    with Image.open(found["sheets"][0]) as sheet:
        assert sheet.size == (1280, 1260)
    assert not any(b"sesame" in content for content in everything(tmp_path / "syn").values())
    assert b"sesame" not in (tmp_path / "syn" / JOURNAL).read_bytes()
    assert not list((tmp_path / "syn").glob(".*"))
    asked = [body["messages"][1]["content"] for body, _ in chat.requests]
    assert all("fire 2017" in prompt or "flood 2017" in prompt for prompt in asked)
    assert len(set(asked)) > 8


def test_text_and_image_of_a_post_are_drawn_independently(run: Run, flags: list[str], tmp_path: Path) -> None:
    pairs = []
    for number, spoilt in enumerate((False, True)):
        output = ["--output", str(tmp_path / f"syn{number}")]
        with chat_server(lambda n, body, spoilt=spoilt: "" if spoilt and n == 1 else tweet(body["seed"])) as chat:
            assert run(*flags, *at(chat), "--per-pattern", "4", *output)[0] == 0
        pairs.append(rows_of(tmp_path / f"syn{number}"))
    images = [[(tmp_path / f"syn{n}" / row["image_path"]).read_bytes() for row in rows] for n, rows in enumerate(pairs)]
    # one more text draft changes the texts that follow, and no image
    assert images[0] == images[1]
    assert [row["text"] for row in pairs[0]] != [row["text"] for row in pairs[1]]


def test_copied_and_bad_texts_are_dropped_and_counted(run: Run, flags: list[str]) -> None:
    drafts: list[str | Reply] = [
        tweet(10_000 + 3).upper() + " https://t.co/new",
        tweet(10_000 + 4) + " now",
        "I'm sorry, but I can't help with that.",
        "Il fumo è ovunque e non so che cosa fare per la casa",
        "the end " * 80,
        Reply(b"<html>"),
        Reply(completion(tweet(1), "length")),
        Reply(b"", 503),
        tweet(2),
        tweet(2) + "!",
    ]
    with chat_server(lambda n, body: drafts[n] if n < len(drafts) else tweet(body["seed"])) as chat:
        code, out, err = run(*flags, *at(chat), "--per-pattern", "3")
    assert code == 0, err
    found = json.loads(out)
    assert found["dropped"] == {
        "text: copy of a text of the dataset": 1,
        "text: near-copy of a text of the dataset": 1,
        "text: the model refused": 1,
        "text: wrong language": 1,
        "text: too long": 1,
        "text: answer that is no JSON": 1,
        "text: cut off at the length limit": 1,
        "text: copy of another synthetic text": 1,
    }
    assert found["failures"] == {"HTTP 503": 1}


def test_an_endpoint_that_goes_down_loses_nothing_and_the_same_command_goes_on(
    run: Run, flags: list[str], tmp_path: Path
) -> None:
    command = [*flags, "--per-pattern", "5", "--tries", "1"]
    with chat_server(lambda n, body: Reply(b"", 500) if n >= 6 else tweet(body["seed"])) as chat:
        code, out, err = run(*command, *at(chat))
        assert code == 1
        advice = "see that it runs and run the same command again to go on"
        assert err == f"error: The endpoint {chat.address} answered 500; {advice}.\n"
    assert json.loads(out)["posts"] == {"informative_text": 3, "informative_image": 3}
    before = rows_of(tmp_path / "syn")
    assert len(before) == 6
    with chat_server(write) as chat:
        code, out, err = run(*command, *at(chat))
        assert (code, json.loads(out)["new"]) == (0, 4)
        assert len(chat.requests) == 4
        assert run(*command, *at(chat))[0] == 0
        assert len(chat.requests) == 4
        assert run(*command, *at(chat), "--output", str(tmp_path / "whole"))[0] == 0
    after = rows_of(tmp_path / "syn")
    assert after[:6] == before
    # interrupted or not, the folder is the same
    assert everything(tmp_path / "syn") == everything(tmp_path / "whole")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("", "empty answer"), ("{", "empty"), ("Das ist nicht das, was wir auf der Straße sehen", "wrong language")],
)
def test_a_source_that_only_fails_ends_with_one_sentence(
    answer: str, reason: str, run: Run, flags: list[str], tmp_path: Path
) -> None:
    reply = Reply(b"{}") if answer == "{" else Reply(completion(answer))
    with chat_server(lambda n, body: reply) as chat:
        code, out, err = run(*flags, *at(chat), "--per-pattern", "2")
    assert code == 1
    assert err.startswith(f"error: The last {BARREN} text drafts of the pattern 'informative_text' had to be dropped (")
    assert err.count("\n") == 1
    assert json.loads(out)["dropped"].keys() == {"text: JSON without a choice" if answer == "{" else f"text: {reason}"}
    assert rows_of(tmp_path / "syn") == []
    assert len(chat.requests) == BARREN


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stop_at_any_moment_loses_at_most_one_post(stop: signal.Signals, flags: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "syn"

    def slow(number: int, body: dict[str, Any]) -> Reply:
        return Reply(completion(tweet(body["seed"])), slow=0.03)

    with chat_server(slow) as chat:
        command = [sys.executable, "-m", "pipeline", *flags, *at(chat), "--per-pattern", "10"]
        stopped_with = 0
        for goal in (2, 9):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
            wait_for(lambda goal=goal: committed(folder) >= goal, process)
            process.send_signal(stop)
            process.communicate(timeout=30)
            assert process.returncode == (-9 if stop == signal.SIGKILL else 130)
            assert committed(folder) >= max(goal, stopped_with)
            stopped_with = committed(folder)
        asked = len(chat.requests)
        assert asked <= stopped_with + 3
        assert subprocess.run(command, capture_output=True, cwd=ROOT, check=False).returncode == 0
        assert len(chat.requests) - asked <= 20 - stopped_with
        whole = [*command, "--output", str(tmp_path / "whole")]
        assert subprocess.run(whole, capture_output=True, cwd=ROOT, check=False).returncode == 0
    assert len(rows_of(folder)) == 20
    assert everything(folder) == everything(tmp_path / "whole")


def committed(folder: Path) -> int:
    path = folder / JOURNAL
    return path.read_bytes().count(b'{"kind": "post"') if path.exists() else 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError("it did not come so far")


def test_what_earlier_runs_made_does_not_come_again(run: Run, flags: list[str], tmp_path: Path) -> None:
    with chat_server(lambda n, body: tweet(n)) as chat:
        assert run(*flags, *at(chat), "--per-pattern", "2")[0] == 0
    with chat_server(lambda n, body: tweet(n)) as chat:
        code, out, _ = run(*flags, *at(chat), "--per-pattern", "3")
    assert (code, json.loads(out)["new"]) == (0, 2)
    assert json.loads(out)["dropped"] == {"text: copy of another synthetic text": 4}
    assert len({row["text"] for row in rows_of(tmp_path / "syn")}) == 6


def test_struck_posts_are_replaced_and_edits_stay(run: Run, flags: list[str], tmp_path: Path) -> None:
    table = tmp_path / "syn" / TABLE
    command = [*flags, "--per-pattern", "4"]
    with chat_server(write) as chat:
        assert run(*command, *at(chat))[0] == 0
        rows: list[dict[str, Any]] = read_table(table)
        rows[0]["accepted"] = "0"
        rows[1]["text"] = "Put right by hand"
        gone = rows.pop(3)
        write_table(table, rows)
        code, out, _ = run(*command, *at(chat))
        found = json.loads(out)
        assert (code, found["new"], found["struck"]) == (0, 2, 2)
        after = read_table(table)
        assert after[: len(rows)] == rows
        assert len(after) == 9
        assert gone["post_id"] not in {row["post_id"] for row in after}
        assert Counter(row["pattern"] for row in after if row["accepted"] == "1") == dict.fromkeys(found["posts"], 4)
        assert len({row["text"] for row in after}) == 9
        code, out, _ = run(*command, *at(chat))
        assert (code, json.loads(out)["new"]) == (0, 0)
        assert read_table(table) == after


def test_other_settings_and_a_second_writer_are_refused(run: Run, flags: list[str], tmp_path: Path) -> None:
    with chat_server(write) as chat:
        command = [*flags, *at(chat), "--per-pattern", "1"]
        assert run(*command)[0] == 0
        before = everything(tmp_path / "syn")
        for words, name in (
            (["--seed", "5"], "seed"),
            (["--label", "x"], "label"),
            (["--language", "any"], "language"),
        ):
            code, _, err = run(*command, *words)
            assert code == 2
            assert f"was begun with another {name} (" in err
        lock = acquire(tmp_path / "syn" / JOURNAL)
        code, _, err = run(*command)
        lock.release()
        assert code == 1
        assert "is being written by" in err
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
        code, _, err = run(*command, "--output", str(tmp_path / "mine"))
        assert code == 2
        assert "is not empty and no folder of synthetic posts" in err
    assert everything(tmp_path / "syn") == before


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "--per-pattern N, --share 0.2"),
        (["--share", "1.5"], "between 0 and 1"),
        (["--share", "0.3", "--label", "x"], "'x' is no class of 'label' (informative, not_informative)"),
        (["--per-pattern", "1", "--language", "xx"], "no check for the language"),
        (["--per-pattern", "1", "--endpoint", "localhost"], "no address of an endpoint"),
        (["--per-pattern", "1", "--api-key-env", "NOT_SET"], "NOT_SET holds no key"),
        (["--per-pattern", "1", "--prompts", "nope"], "There are no prompts 'nope'"),
        (["--per-pattern", "1", "--image-model", "x"], "--image-model FOLDER or --image-folder"),
        (["--per-pattern", "1", "--image-folder", "nowhere"], "needs a sub-folder 'not_informative'"),
    ],
)
def test_wrong_use_is_one_sentence_and_makes_nothing(
    words: list[str], match: str, run: Run, flags: list[str], tmp_path: Path
) -> None:
    code, _, err = run(*flags, "--endpoint", "http://127.0.0.1:9/v1", *words)
    assert code == 2, err
    assert match in err
    assert not (tmp_path / "syn").exists()


def test_share_is_reached_in_train_and_not_overshot(run: Run, flags: list[str], tmp_path: Path) -> None:
    with chat_server(write) as chat:
        code, out, err = run(*(flag for flag in flags if flag != "--quiet"), *at(chat), "--share", "0.4")
    assert code == 0, err
    assert "synthetic posts bring it to 40 %" in err
    made = sum(json.loads(out)["posts"].values())
    words = err.split("'not_informative' has ")[1].split()
    minority, total = int(words[0]), int(words[3])
    assert (minority + made) / (total + made) >= 0.4 > (minority + made - 1) / (total + made - 1)


def test_images_without_a_post_are_removed_when_going_on(run: Run, flags: list[str], tmp_path: Path) -> None:
    with chat_server(write) as chat:
        command = [*flags, *at(chat), "--per-pattern", "1"]
        assert run(*command)[0] == 0
        images = tmp_path / "syn" / "images"
        orphan = images / "synthetic-000000-0099.jpg"
        orphan.write_bytes(b"x")
        (images / "mine.jpg").write_bytes(b"x")
        assert run(*command)[0] == 0
    assert not orphan.exists()
    assert (images / "mine.jpg").exists()

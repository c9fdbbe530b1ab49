"""The endpoint against a server of this process: what is sent, what is kept, what is retried, and what is said."""

import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import BurnishError
from burnish.rewards import chat_endpoint
from burnish.rewards.chat_endpoint import ChatEndpoint
from burnish.rewards.pairwise import PairwiseJudge, round_robin
from chat_server import ChatServer, Reply, chat_server, completion, require_loopback

QUESTION = [{"role": "user", "content": "Which?"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts, and no proxy of the machine's between this process and itself."""
    monkeypatch.setattr(chat_endpoint, "BACKOFF_SECONDS", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def endpoint(server: ChatServer, tmp_path: Path, **options: Any) -> ChatEndpoint:
    return ChatEndpoint(server.address, "judge", tmp_path / "cache", **options)


def replies(*given: "str | Reply") -> Callable[[dict[str, Any]], "str | Reply"]:
    """These replies one after the other, then the last again and again."""
    left = list(given)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_a_question_is_sent_as_openai_has_it(tmp_path: Path) -> None:
    with chat_server(replies("[[A]]")) as server:
        assert endpoint(server, tmp_path, api_key="secret").ask(QUESTION, max_tokens=7) == "[[A]]"
    assert server.paths == ["/v1/chat/completions"]
    assert server.requests == [{"model": "judge", "messages": QUESTION, "temperature": 0, "max_tokens": 7}]
    assert server.keys == ["Bearer secret"]
    assert "secret" not in repr(endpoint(server, tmp_path, api_key="secret"))


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    with chat_server(replies("first", "second", "third", "fourth")) as server:
        one = endpoint(server, tmp_path)
        assert [one.ask(QUESTION, max_tokens=7) for _ in range(3)] == ["first"] * 3
        assert endpoint(server, tmp_path).ask(QUESTION, max_tokens=7) == "first", "another process finds it too"
        assert one.ask(QUESTION, max_tokens=8) == "second"
        assert one.ask([*QUESTION, {"role": "user", "content": "?"}], max_tokens=7) == "third"
        assert ChatEndpoint(server.address, "other", tmp_path / "cache").ask(QUESTION, max_tokens=7) == "fourth"
    assert len(server.requests) == 4
    for file in (tmp_path / "cache").iterdir():
        assert "secret" not in file.read_text()


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    with chat_server(replies("first", "second")) as server:
        one = endpoint(server, tmp_path)
        one.ask(QUESTION, max_tokens=7)
        (file,) = (tmp_path / "cache").iterdir()
        file.write_text('{"answer')
        assert one.ask(QUESTION, max_tokens=7) == "second"
        assert one.damaged == [file]


def test_an_answer_that_was_changed_on_the_disk_or_belongs_to_another_question_is_asked_for_again(
    tmp_path: Path,
) -> None:
    with chat_server(replies("[[A]]", "[[C]]", "[[A]]", "[[A]]")) as server:
        one = endpoint(server, tmp_path)
        one.ask(QUESTION, max_tokens=7)
        (file,) = (tmp_path / "cache").iterdir()
        one.ask(QUESTION, max_tokens=8)
        (other,) = set((tmp_path / "cache").iterdir()) - {file}
        file.write_text(file.read_text().replace("[[A]]", "[[B]]"))
        assert one.ask(QUESTION, max_tokens=7) == "[[A]]"
        shutil.copyfile(other, file)
        assert one.ask(QUESTION, max_tokens=7) == "[[A]]"
        assert one.damaged == [file, file]


def test_equal_questions_on_their_way_are_asked_once(tmp_path: Path) -> None:
    def slowly(_: dict[str, Any]) -> str:
        time.sleep(0.05)
        return "[[A]]"

    with chat_server(slowly) as server:
        one = endpoint(server, tmp_path)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(one.ask, QUESTION, max_tokens=7) for _ in range(16)]
            assert {future.result() for future in asked} == {"[[A]]"}
    assert len(server.requests) == 1


def test_a_failure_reaches_all_who_asked_and_the_next_one_asks_again(tmp_path: Path) -> None:
    with chat_server(replies((400, {}, b"no"), "[[A]]")) as server:
        one = endpoint(server, tmp_path)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(one.ask, QUESTION, max_tokens=7) for _ in range(4)]
            assert any(future.exception() for future in asked)
        assert one.ask(QUESTION, max_tokens=7) == "[[A]]"


def test_a_judge_with_few_different_answers_loses_no_run(tmp_path: Path) -> None:
    """Equal pairs of many prompts, a fast server and the default number of threads: the writes of one file collide."""
    answers = ["yes", "yes", "no", "no"]
    comparisons = [one for _ in range(20) for _, one in round_robin(QUESTION, answers)]
    with chat_server(replies("[[A]]")) as server:
        for number in range(3):
            one = ChatEndpoint(server.address, "judge", tmp_path / f"cache-{number}")
            judge = PairwiseJudge(lambda messages, one=one: one.ask(messages, max_tokens=7))
            assert {judgement.share for judgement in judge.judge(comparisons)} == {0.5}
            assert len(list((tmp_path / f"cache-{number}").iterdir())) == 2
    assert len(server.requests) == 6


def test_an_answer_with_half_a_character_is_kept(tmp_path: Path) -> None:
    with chat_server(replies((200, {}, completion("\ud83d [[A]]")))) as server:
        for _ in range(2):
            assert endpoint(server, tmp_path).ask(QUESTION, max_tokens=7) == "\ud83d [[A]]"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int, tmp_path: Path) -> None:
    with chat_server(replies((status, {}, b"busy"), (status, {}, b"busy"), "[[B]]")) as server:
        assert endpoint(server, tmp_path, retries=2).ask(QUESTION, max_tokens=7) == "[[B]]"
        assert len(server.requests) == 3


def test_a_server_that_says_how_long_to_wait_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    busy = [(429, {"Retry-After": value}, b"") for value in ("3", "soon", "9999")]
    with chat_server(replies(*busy, "[[B]]")) as server:
        endpoint(server, tmp_path, retries=3).ask(QUESTION, max_tokens=7)
    assert waited == [3.0, 0.0, chat_endpoint.LONGEST_WAIT_SECONDS]


def test_giving_up_says_what_happened_and_keeps_nothing(tmp_path: Path) -> None:
    with chat_server(replies((503, {}, b"busy"))) as server:
        with pytest.raises(BurnishError, match=r"/v1/chat/completions: no answer after 3 attempts \(HTTP 503"):
            endpoint(server, tmp_path, retries=2).ask(QUESTION, max_tokens=7)
        assert len(server.requests) == 3
    assert not (tmp_path / "cache").exists()


def test_a_slow_server_times_out(tmp_path: Path) -> None:
    def slowly(_: dict[str, Any]) -> str:
        time.sleep(0.3)
        return "late"

    with chat_server(slowly) as server, pytest.raises(BurnishError, match=r"no answer after 1 attempts \(timed out\)"):
        endpoint(server, tmp_path, timeout_seconds=0.05, retries=0).ask(QUESTION, max_tokens=7)


def test_no_server_is_said(tmp_path: Path) -> None:
    require_loopback()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(BurnishError, match=r"Connection refused.*is the server running"):
            ChatEndpoint(address, "judge", tmp_path, retries=1).ask(QUESTION, max_tokens=7)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((401, {}, b"no key"), r"HTTP 401 .*: no key; .*api_key_env"),
        ((404, {}, b'{"error": "no model judge"}'), r"HTTP 404 .*no model judge.*lists the models"),
        ((400, {}, b"max_tokens too large"), r"HTTP 400 .*max_tokens too large"),
        ((200, {}, b"<html>"), r"not an answer in OpenAI's format .*<html>"),
        ((200, {}, b"[" * 100_000), r"not an answer in OpenAI's format"),
        ((200, {}, b"{}"), r"not an answer in OpenAI's format .*choices"),
        ((200, {}, b'{"choices": []}'), r"not an answer in OpenAI's format"),
        ((200, {}, completion(None)), r"not an answer in OpenAI's format .*NoneType"),
    ],
)
def test_what_cannot_be_mended_by_asking_again_is_said_at_once(reply: Reply, message: str, tmp_path: Path) -> None:
    with chat_server(replies(reply)) as server:
        with pytest.raises(BurnishError, match=message):
            endpoint(server, tmp_path).ask(QUESTION, max_tokens=7)
        assert len(server.requests) == 1


def test_a_redirect_does_not_take_the_key_elsewhere(tmp_path: Path) -> None:
    with chat_server(replies("[[A]]")) as other:
        elsewhere = {"Location": f"{other.address}/chat/completions"}
        with (
            chat_server(replies((307, elsewhere, b""))) as server,
            pytest.raises(
                BurnishError, match=r"redirects to http://127\.0\.0\.1:.*; write that address if you trust it"
            ),
        ):
            endpoint(server, tmp_path, api_key="secret").ask(QUESTION, max_tokens=7)
        assert other.requests == []

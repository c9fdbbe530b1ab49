"""The chat page in a real browser: asking, judging, keyboard, accessibility, and hostile answers that stay text."""

import asyncio
import json
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from burnish.serving.api.page import page_routes

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

HOSTILE = (
    "<script>document.title='owned'</script> <img src=x onerror=\"document.title='owned'\"> **bold** "
    "[click](javascript:document.title='owned')\n\n"
    "| a | b |\n|---|---|\n| 1 | <svg onload=alert(1)> |\n\n```html\n<iframe src='https://example.org'>\n```\n\n"
    "- one\n- two"
)


class Scripted:
    """A server whose answers are known. asked: what came; judged: opinions; more: what belongs to an answer.

    hops: what comes before the answer's text.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.judged: list[dict[str, Any]] = []
        self.wait = 0.0
        self.name, self.reasoning, self.answer = "scripted", "It counts.", HOSTILE
        self.hops: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {
            "table": {"columns": ["carrier", "n"], "rows": [["AA", 3], ["DL", 9]], "note": ""},
            "citations": [{"document": "manual.md", "heading": "Start", "text": "<b>As it stands.</b>"}],
        }

    async def models(self, _: Request) -> Response:
        return JSONResponse({"data": [{"id": self.name, "max_model_len": 8192}]})

    async def feedback(self, request: Request) -> Response:
        if request.method == "POST":
            self.judged.append(await request.json())
        return JSONResponse({"enabled": True})

    async def chat(self, request: Request) -> Response:
        self.asked.append(await request.json())
        number = len(self.asked)

        async def events() -> AsyncIterator[str]:
            def event(**body: Any) -> str:
                return f"data: {json.dumps({'id': f'answer-{number}', **body})}\n\n"

            yield event(choices=[{"delta": {"reasoning_content": self.reasoning}}])
            for hop in self.hops:
                yield event(choices=[], burnish=hop)
                await asyncio.sleep(self.wait)
            for word in self.answer.split(" "):
                yield event(choices=[{"delta": {"content": f"{word} "}}])
                await asyncio.sleep(self.wait)
            yield event(choices=[{"delta": {}, "finish_reason": "stop"}])
            yield event(choices=[], burnish=self.more)
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")


@pytest.fixture
def scripted() -> Iterator[tuple[Scripted, str]]:
    script = Scripted()
    routes = [
        *page_routes(),
        Route("/v1/models", script.models),
        Route("/v1/feedback", script.feedback, methods=["GET", "POST"]),
        Route("/v1/chat/completions", script.chat, methods=["POST"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield script, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def page(scripted: tuple[Scripted, str]) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(scripted[1])
        page.wait_for_selector("#model option", state="attached")
        yield page
        browser.close()
        assert wrong == []


def ask(page: Any, text: str) -> None:
    page.fill("#question", text)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The answer is complete.")


def test_what_a_model_wrote_stays_text(page: Any) -> None:
    ask(page, "<b>How many?</b>")
    assert page.title() == "Burnish"
    turns = page.locator("#turns")
    for name in ("script", "img", "iframe", "a", "b"):
        assert turns.locator(name).count() == 0
    assert turns.locator("strong").inner_text() == "bold"
    assert "<iframe" in turns.locator("pre code").first.inner_text()
    assert turns.locator("li", has_text="two").count() == 1
    assert "javascript:" in turns.inner_text()
    assert turns.locator("table", has_text="carrier").locator("td").all_inner_texts() == ["AA", "3", "DL", "9"]
    assert turns.locator("svg rect").count() == 2
    turns.locator("summary", has_text="manual.md").click()
    assert "<b>As it stands.</b>" in turns.locator("details[open]").inner_text()


def test_answers_are_judged_picked_and_corrected(page: Any, scripted: tuple[Scripted, str]) -> None:
    script, _ = scripted
    page.check("#beside")
    ask(page, "How many?")
    page.locator("text=This one is better").nth(1).click()
    page.wait_for_selector("text=Thank you; kept.")
    page.uncheck("#beside")
    ask(page, "And now?")
    page.locator(".turn").last.locator("text=Bad").click()
    page.fill("#words-text", "too long")
    page.click("#words-save")
    page.wait_for_selector(".bad[aria-pressed=true]")
    page.locator(".turn").last.locator("text=Correct").click()
    page.fill("#words-text", "42")
    page.click("#words-save")
    sync_api.expect(page.locator("#turns")).to_contain_text("42")
    better, bad, correction = script.judged
    assert better["kind"] == "better"
    assert {better["answer"], better["than"]} == {"answer-1", "answer-2"}
    assert bad == {"answer": "answer-3", "kind": "bad", "reason": "too long"}
    assert correction == {"answer": "answer-3", "kind": "correction", "text": "42"}
    ask(page, "Thanks.")
    said = [message["content"] for message in script.asked[-1]["messages"]]
    assert said[0] == "How many?"
    assert said[3] == "42", "what was corrected is what the model sees of the conversation"


def test_conversations_are_stopped_edited_kept_found_and_deleted(page: Any, scripted: tuple[Scripted, str]) -> None:
    script, _ = scripted
    script.wait = 0.05
    page.fill("#question", "a slow one")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop:visible")
    sync_api.expect(page.locator("#turns")).to_contain_text("bold")
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Stopped.")
    script.wait = 0.0
    page.locator("text=Edit").first.click()
    page.fill("#words-text", "a quick one")
    page.click("#words-save")
    page.wait_for_selector("text=The answer is complete.")
    assert [message["content"] for message in script.asked[-1]["messages"]] == ["a quick one"]
    page.keyboard.press("Control+k")
    ask(page, "something else")
    assert page.locator("#conversations li").count() == 2
    page.fill("#search", "quick")
    assert page.locator("#conversations li").count() == 1
    page.reload()
    page.wait_for_selector("#conversations li")
    assert page.locator("#conversations li").count() == 2
    page.click("#remove")
    assert page.locator("#conversations li").count() == 1


HOPS: list[dict[str, Any]] = [
    {"intent": {"name": "figures", "probability": 0.93, "ways": ["database", "examples"]}},
    {"call": {"number": 0, "name": "find_code", "arguments": {"name": "<b>Delta</b>"}}},
    {"result": {"number": 0, "text": "carrier DL: <img src=x onerror=alert(1)>", "failed": False, "seconds": 0.04}},
    {"call": {"number": 1, "name": "query_database", "arguments": {"query": "select"}}},
    {"result": {"number": 1, "text": "error: no such column", "failed": True, "seconds": 0.1}},
    {"call": {"number": 2, "name": "query_database", "arguments": {"query": "select month, count(*) as flights"}}},
    {
        "result": {
            "number": 2,
            "text": "month | flights",
            "failed": False,
            "seconds": 0.1,
            "table": {"columns": ["month", "flights"], "rows": [["May", 4190], ["June", 4021]], "note": ""},
        }
    },
]
CALLED = {"role": "assistant", "content": "", "tool_calls": [{"id": "call00001"}]}
MESSAGES: list[dict[str, Any]] = [
    CALLED,
    {"role": "tool", "content": "carrier DL", "tool_call_id": "call00001"},
    {"role": "assistant", "content": "In May."},
]


def test_hops_are_named_folded_and_go_back_with_the_conversation(page: Any, scripted: tuple[Scripted, str]) -> None:
    script, _ = scripted
    script.hops, script.more, script.answer = HOPS, {"messages": MESSAGES}, "<think>Two months.</think>In May."
    script.reasoning = ""
    ask(page, "When did Delta fly most?")
    answer = page.locator(".answer")
    assert answer.locator("p.hop").inner_text() == "Intent figures (93 %): database, examples"
    calls = answer.locator("details.hop")
    assert [one.split("\n")[0] for one in calls.locator("summary").all_inner_texts()] == [
        'Tool find_code(name="<b>Delta</b>") 0.0 s',
        'Tool query_database(query="select") failed',
        'Tool query_database(query="select month, count(*) as flights") 0.1 s',
    ]
    assert not calls.nth(0).locator("pre").is_visible(), "a result is folded"
    calls.nth(0).locator("summary").click()
    assert calls.nth(0).locator("pre").inner_text() == HOPS[2]["result"]["text"]
    assert answer.locator("img").count() == 0
    assert calls.nth(2).locator("td").all_inner_texts() == ["May", "4190", "June", "4021"], "a table is open"
    assert calls.nth(2).locator("svg rect").count() == 2
    thought = answer.locator("details", has_text="Reasoning")
    assert thought.inner_text() == "Reasoning", "what a model thinks aloud is folded, whoever parts it"
    assert answer.locator("> p").last.inner_text() == "In May."
    assert answer.locator("text=Good").count() == 0, "answers with calls are not kept, so there is nothing to judge"
    ask(page, "And least?")
    assert script.asked[-1]["messages"][1:4] == MESSAGES, "the model sees what it has called"


def test_what_is_unfolded_stays_so_while_an_answer_is_written(page: Any, scripted: tuple[Scripted, str]) -> None:
    script, _ = scripted
    script.hops, script.more, script.answer, script.wait = HOPS[1:3], {}, "word " * 2000, 0.05
    page.fill("#question", "a slow one")
    page.keyboard.press("Enter")
    page.locator("details.hop summary").click()
    sync_api.expect(page.locator(".answer")).to_contain_text("word word word")
    assert page.locator("details.hop pre").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Stopped.")


def test_nothing_serious_for_assistive_technology_in_light_and_dark_and_on_a_phone(
    page: Any, scripted: tuple[Scripted, str]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    scripted[0].hops = HOPS
    ask(page, "How many?")
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    page.set_viewport_size({"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert not page.locator("#side").is_visible()
    page.click("#menu")
    assert page.locator("#side").is_visible()


IMAGES = "BURNISH_IMAGES"
"""Names the folder that the documentation's screenshots go to, docs/images; without it they are only made."""
FLIGHTS = (
    "The database has a row a flight, so a carrier's late flights are counted:\n\n"
    "```sql\nSELECT carrier, count(*) AS late\nFROM flights\nWHERE arr_delay > 60\n"
    "GROUP BY carrier\nORDER BY late DESC\nLIMIT 5\n```"
)


TOOL_QUERY = (
    "select month, count(*) as flights from flights where carrier = 'DL' group by month order by flights desc limit 4"
)
TOOL_HOPS: list[dict[str, Any]] = [
    HOPS[0],
    {"call": {"number": 0, "name": "find_code", "arguments": {"name": "Delta"}}},
    {"result": {"number": 0, "text": "carrier DL", "failed": False, "seconds": 0.01}},
    {"call": {"number": 1, "name": "query_database", "arguments": {"query": TOOL_QUERY}}},
    {
        "result": {
            "number": 1,
            "text": "month | flights",
            "failed": False,
            "seconds": 0.1,
            "table": {
                "columns": ["month", "flights"],
                "rows": [["8", 4318], ["7", 4251], ["3", 4189], ["6", 4126]],
                "note": "",
            },
        }
    },
]


def test_screenshots_for_the_documentation(scripted: tuple[Scripted, str], tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    script, url = scripted
    script.name, script.reasoning, script.answer = "flights", "", FLIGHTS
    rows = [["EV", 6803], ["B6", 4965], ["UA", 3931], ["DL", 2927], ["MQ", 2323]]
    script.more = {
        "table": {"columns": ["carrier", "late"], "rows": rows, "note": ""},
        "citations": [
            {"document": "schema.md", "heading": "flights", "text": "arr_delay: minutes, negative if early."}
        ],
    }
    folder = Path(os.environ.get(IMAGES, tmp_path))
    question = "Which carriers were more than an hour late most often?"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        pictures = (
            ("chat", 1000, 1180, "light"),
            ("chat-phone", 390, 1080, "dark"),
            ("chat-tools", 1000, 900, "light"),
        )
        for name, width, height, theme in pictures:
            if name == "chat-tools":
                script.hops, script.more = TOOL_HOPS, {"messages": MESSAGES}
                script.answer, question = "Delta flew most in **August**: 4,318 flights.", "When did Delta fly most?"
            page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
            page.goto(url)
            page.wait_for_selector("#model option", state="attached")
            page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            ask(page, question)
            page.locator("#turns").evaluate("turns => { turns.scrollTop = 0 }")
            file = folder / f"{name}.png"
            page.screenshot(path=file, caret="hide")
            assert file.read_bytes().startswith(b"\x89PNG")
            assert page.locator("#turns svg rect").count() == (4 if name == "chat-tools" else 5)
            page.close()
        browser.close()

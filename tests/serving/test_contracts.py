"""What Open WebUI sends, and what it reads of the answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from burnish.corpus.embeddings import Encoder
from burnish.serving.api.keys import add_key
from burnish.serving.api.settings import Limits
from burnish.serving.api.vectors import ServedEncoder
from served import HTTP, Model, Running, running, tiny_model
from tiny_encoder import save_encoder

TITLE = '### Task:\nGenerate a concise, 3-5 word title with an emoji. Output: JSON format: { "title": "..." }\n'
OPEN_WEBUI: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "the list of models": ("GET", "/models", None),
    "a chat": (
        "POST",
        "/chat/completions",
        {
            "stream": True,
            "model": "tiny",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        },
    ),
    "a chat with its usage": (
        "POST",
        "/chat/completions",
        {
            "stream": True,
            "model": "tiny",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream_options": {"include_usage": True},
        },
    ),
    "a chat with all that its settings offer": (
        "POST",
        "/chat/completions",
        {
            "stream": True,
            "model": "tiny",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                {"role": "assistant", "content": "Hi."},
                {"role": "user", "content": "And now?"},
            ],
            "temperature": 0.8,
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.05,
            "max_tokens": 8,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "seed": 42,
            "stop": ["\n\n"],
            "logit_bias": {},
        },
    ),
    "a title": (
        "POST",
        "/chat/completions",
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": TITLE}],
            "stream": False,
            "max_completion_tokens": 100,
        },
    ),
    "tags and questions to follow": (
        "POST",
        "/chat/completions",
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "### Task:\nSuggest 3-5 questions."}],
            "stream": False,
        },
    ),
    "vectors of documents": ("POST", "/embeddings", {"input": ["cancel a task", "queue"], "model": "small"}),
}
"""Method, path below `/v1` and body, as `backend/open_webui` sends them: `routers/openai.py` (which takes `metadata`
out before), `routers/tasks.py` and `retrieval/utils.py` of its main branch."""


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="module")
def server(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("contracts")
    embedder = Encoder(str(save_encoder(folder / "small")), compute_dtype="float32", device="cpu").embedder
    keys = folder / "keys.txt"
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {add_key(keys, 'webui')}",
        "X-OpenWebUI-User-Name": "Ann",
        "X-OpenWebUI-Chat-Id": "1",
    }
    limits = Limits(rows=4, tokens=128)
    with running(model, keys=keys, encoder=ServedEncoder("small", embedder), limits=limits) as one:
        yield one, headers


@pytest.mark.parametrize("name", OPEN_WEBUI)
def test_open_webui_gets_what_it_reads(server: tuple[Running, dict[str, str]], name: str) -> None:
    running, headers = server
    method, path, body = OPEN_WEBUI[name]
    answer = HTTP.request(method, f"{running.url}/v1{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    if body is None:
        assert [one["id"] for one in answer.json()["data"]] == ["tiny", "small"]
    elif path == "/embeddings":
        assert [one["index"] for one in answer.json()["data"]] == [0, 1]
        assert all(isinstance(value, float) for value in answer.json()["data"][1]["embedding"])
    elif not body["stream"]:
        assert isinstance(answer.json()["choices"][0]["message"]["content"], str)
    else:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
        assert text
        assert [chunk for chunk in chunks if chunk["choices"]][-1]["choices"][0]["finish_reason"]
        assert ("usage" in chunks[-1]) == ("stream_options" in body)


def test_open_webui_is_told_what_is_not_served(server: tuple[Running, dict[str, str]]) -> None:
    running, headers = server
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    body = {"model": "tiny", "messages": [{"role": "user", "content": [image]}]}
    answer = HTTP.post(f"{running.url}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 400
    assert "text" in answer.json()["error"]["message"], "it shows error.message to its user"

"""The server keeps answers and what people think of them, shows its page safely, and changes over to another model."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.datasets.feedback import Feedback
from burnish.nn.decoder import Decoder
from burnish.serving.api.served import Served
from served import HTTP, QUESTION, Model, Running, running, tiny_model


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def ask(server: Running, **options: Any) -> Any:
    return server.client().chat.completions.create(model="tiny", messages=QUESTION, max_tokens=4, **options)


def test_an_answer_is_kept_and_judged_by_its_id(model: Model, tmp_path: Path) -> None:
    with running(model, system="Be brief.", feedback=tmp_path / "feedback.db") as server:
        assert HTTP.get(f"{server.url}/v1/feedback").json()["enabled"] is True
        first, streamed = ask(server, n=2, temperature=1.0, seed=3), list(ask(server, stream=True))
        for opinion in (
            {"answer": first.id, "kind": "better", "than": f"{first.id}-1", "user": "ann"},
            {"answer": streamed[0].id, "kind": "correction", "text": "SELECT 1"},
        ):
            assert server.post("/v1/feedback", model=None, **opinion).status_code == 400, "an opinion names no model"
            assert HTTP.post(f"{server.url}/v1/feedback", json=opinion).status_code == 200
    with Feedback.open(tmp_path / "feedback.db", create=False) as store:
        better, correction = store.judgements()
    assert (better[0].kind, better[0].user) == ("better", "ann")
    assert better[1].answer == first.choices[0].message.content
    assert better[2] == first.choices[1].message.content
    assert better[1].prompt == [{"role": "system", "content": "Be brief."}, *QUESTION]
    assert better[1].sampling == {"temperature": 1.0, "seed": 3}
    assert correction[1].answer == "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert correction[0].text == "SELECT 1"


@pytest.mark.parametrize(
    ("opinion", "status", "said"),
    [
        ({"answer": "chatcmpl-none", "kind": "good"}, 404, "no such answer"),
        ({"answer": "x", "kind": "fine"}, 400, "kind"),
        ({"answer": "x", "kind": "correction"}, 400, "'text' goes with kind 'correction'"),
        ({"kind": "good"}, 400, "answer"),
        ({"answer": "x", "kind": "good", "stars": 5}, 400, "stars"),
    ],
)
def test_an_opinion_that_cannot_be_kept_is_refused(
    model: Model, tmp_path: Path, opinion: dict[str, Any], status: int, said: str
) -> None:
    with running(model, feedback=tmp_path / "feedback.db") as server:
        response = HTTP.post(f"{server.url}/v1/feedback", json=opinion)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


def test_without_a_file_nothing_is_kept(model: Model) -> None:
    with running(model) as server:
        assert HTTP.get(f"{server.url}/v1/feedback").json()["enabled"] is False
        answer = ask(server)
        response = HTTP.post(f"{server.url}/v1/feedback", json={"answer": answer.id, "kind": "good"})
    assert response.status_code == 404
    assert "--feedback" in response.json()["error"]["message"]


def test_the_page_may_run_its_own_scripts_only(model: Model) -> None:
    with running(model) as server:
        for path in ("/", "/page.js", "/markdown.js", "/api.js", "/page.css"):
            response = HTTP.get(server.url + path)
            assert response.status_code == 200
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        assert "<script type" in HTTP.get(server.url).text
        for path in ("/..%2fapi%2fapp.py", "/index.html%00", "/page", "/__init__.py"):
            assert HTTP.get(server.url + path).status_code == 404
    with running(model, page=False) as server:
        assert HTTP.get(server.url).status_code == 404


def test_a_change_of_models_loses_no_request(model: Model) -> None:
    decoder, tokenizer = model
    other = Decoder(decoder.config).eval()
    other.load_state_dict({name: -tensor for name, tensor in decoder.state_dict().items()})
    with running(model) as server:
        old = ask(server).choices[0].message.content
        started = ask(server, stream=True)
        next(iter(started))
        loop = server.api.worker._loop
        assert loop is not None
        served = Served(other, tokenizer, server.api.settings)
        change = asyncio.run_coroutine_threadsafe(server.api.change(served), loop)
        rest = "".join(chunk.choices[0].delta.content or "" for chunk in started if chunk.choices)
        change.result(30)
        assert old is not None
        assert old.endswith(rest), "it was finished by the model that it began with"
        new = ask(server).choices[0].message.content
        assert new != old
        assert server.metric("burnish_in_flight") == 0
    assert not torch.equal(other.embedding.weight, decoder.embedding.weight)

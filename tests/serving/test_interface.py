"""The page that describes the interface is true: schemathesis finds no answer that differs from it."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from burnish.corpus.embeddings import Encoder
from burnish.serving.api.keys import add_key
from burnish.serving.api.vectors import ServedEncoder
from served import HTTP, QUESTION, Model, Running, running, tiny_model
from tiny_encoder import save_encoder

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
KEY = ""
REFUSED = ["400", "404", "405", "413", "415", "422", "429"]
"""What a request that breaks the schema may be answered with: 413 where it is longer than a body may be."""
OPERATIONS = [
    ("post", "/v1/chat/completions"),
    ("post", "/v1/completions"),
    ("post", "/v1/embeddings"),
    ("post", "/v1/feedback"),
    ("get", "/v1/feedback"),
    ("get", "/v1/models"),
    ("get", "/v1/models/{model}"),
    ("get", "/metrics"),
    ("get", "/health"),
    ("get", "/ready"),
]


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="module")
def server(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("interface")
    embedder = Encoder(str(save_encoder(folder / "small")), compute_dtype="float32", device="cpu").embedder
    with running(model, feedback=folder / "feedback.db", encoder=ServedEncoder("small", embedder)) as one:
        yield one


def conforms(server: Running, method: str, path: str, examples: int) -> set[int]:
    """Send what schemathesis makes of an operation, valid and not; the statuses of the answers."""
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
    schema = schemathesis.openapi.from_dict(HTTP.get(f"{server.url}/openapi.json").json(), config=config)
    operation = schema[path][method]
    statuses: set[int] = set()

    def ask(case: Any) -> None:
        # What no schema says: how fields go together, and how many tokens a text has.
        excluded = [schemathesis.checks.positive_data_acceptance]
        response = case.call_and_validate(base_url=server.url, excluded_checks=excluded, timeout=30)
        statuses.add(response.status_code)

    modes = schemathesis.GenerationMode
    for mode in (modes.POSITIVE, modes.NEGATIVE)[: 2 if method == "post" else 1]:  # nothing of the others can be wrong
        strategy = operation.as_strategy(generation_mode=mode)
        run = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        run(given(case=strategy)(ask))()
    return statuses


def test_the_page_names_what_this_server_serves(server: Running, model: Model, tmp_path: Any) -> None:
    page = HTTP.get(f"{server.url}/openapi.json").json()
    fields = page["components"]["schemas"]["ChatRequest"]["properties"]
    assert fields["model"]["enum"] == ["tiny"]
    assert fields["n"]["maximum"] == 4
    assert {path for _, path in OPERATIONS} == set(page["paths"])
    known = {*page["components"]["schemas"]}
    for path, methods in page["paths"].items():
        for operation in methods.values():
            assert "security" not in operation
            for status, response in operation["responses"].items():
                for content in response["content"].values():
                    reference = content["schema"].get("$ref", "State").rpartition("/")[2]
                    assert reference in known
                    assert status in ("200", "503") or reference == "ErrorBody", (path, status)
    keys = tmp_path / "keys.txt"
    key = add_key(keys, "team")
    with running(model, keys=keys) as keyed:
        assert HTTP.get(f"{keyed.url}/openapi.json").status_code == 401
        found = HTTP.get(f"{keyed.url}/openapi.json", headers={"Authorization": f"Bearer {key}"}).json()
        assert found["paths"]["/v1/models"]["get"]["security"] == [{"key": []}]
        assert "security" not in found["paths"]["/health"]["get"]


@pytest.mark.parametrize(("method", "path"), [("post", "/v1/feedback"), ("get", "/v1/models/{model}")])
def test_answers_are_as_the_page_says(server: Running, method: str, path: str) -> None:
    assert max(conforms(server, method, path, 3)) < 500


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_very_many_answers_are_as_the_page_says(server: Running, method: str, path: str) -> None:
    statuses = conforms(server, method, path, 300 if method == "post" else 30)
    assert max(statuses) < 500
    assert 200 in statuses or (method, path) in (("post", "/v1/feedback"), ("get", "/v1/models/{model}"))
    if method == "post":
        assert 400 in statuses
    assert server.post(messages=QUESTION, max_tokens=2).status_code == 200

"""Answers that are one query of the served database."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from burnish.generation.engine import Engine
from burnish.generation.grammar import GrowingGrammar
from burnish.generation.request import Request
from burnish.generation.sampling import Sampling
from burnish.rewards.sql_sandbox import SqlSandbox
from burnish.serving.api.faults import ApiError
from burnish.serving.api.protocol import ChatRequest
from burnish.serving.api.served import Served
from burnish.serving.api.settings import ServerSettings
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer

ASKED = {"model": "m", "messages": [{"role": "user", "content": "How many?"}]}


def test_a_request_may_ask_for_a_query_of_the_served_database(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "some.duckdb")) as connection:
        connection.execute("create table ab (cd int)")
    tokenizer = tiny_tokenizer()
    decoder = tiny_decoder(scale=8, vocab_size=tokenizer.vocab_size)
    plain = ChatRequest.model_validate(ASKED)
    formed = ChatRequest.model_validate(ASKED | {"response_format": {"type": "sql"}})
    with SqlSandbox(tmp_path / "some.duckdb") as sandbox:
        served = Served(decoder, tokenizer, ServerSettings(name="m"), tables=sandbox)
        assert served.grammar(plain) is None
        grammar = served.grammar(formed)
        assert isinstance(grammar, GrowingGrammar)
        assert served.grammar(formed) is grammar, "the schema is read once"
        sampling = Sampling(temperature=0, max_new_tokens=12, stop=tokenizer.stop_ids)
        (completion,) = Engine(decoder, tokenizer=tokenizer).run(
            [Request(prompt=[1, 2], sampling=sampling, grammar=grammar)]
        )
        assert tokenizer.decode(completion.tokens).strip("`").removeprefix("sql\n").lower().startswith("select"[:6])
        always = replace(served, settings=replace(served.settings, grammar="sql"))
        assert isinstance(always.grammar(plain), GrowingGrammar)
        assert always.grammar(ChatRequest.model_validate(ASKED | {"response_format": {"type": "text"}})) is None
    with pytest.raises(ApiError, match="no database is served"):
        replace(served, tables=None).grammar(formed)

"""Several versions of a model behind one server: by name, and by shares of its conversations."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from burnish.console.serving import named_paths, shared
from burnish.errors import BurnishError
from burnish.serving.api.served import Served
from burnish.serving.api.settings import ServerSettings
from served import LIMITS, running
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer


def test_versions_answer_by_name_and_by_share(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    models = [tiny_decoder(scale=scale, vocab_size=tokenizer.vocab_size) for scale in (8, 7)]
    other = Served(
        models[1], tokenizer, ServerSettings(name="b", limits=LIMITS, feedback=tmp_path / "f.db"), "b's hash"
    )
    store = tmp_path / "f.db"
    options = {"shares": {"b": 0.4}, "feedback": store}
    with running((models[0], tokenizer), more={"version": "a's hash"}, versions=[other], **options) as server:

        def ask(user: str, model: str = "tiny") -> tuple[str, str, str]:
            messages = [{"role": "user", "content": "abc"}]
            answer = server.post(messages=messages, max_tokens=6, seed=1, user=user, model=model).json()
            return answer["model"], answer["choices"][0]["message"]["content"], answer["id"]

        by_user = {f"user{number}": ask(f"user{number}") for number in range(40)}
        names = [name for name, _, _ in by_user.values()]
        assert 8 <= names.count("b") <= 24
        assert set(names) == {"tiny", "b"}
        for user in list(by_user)[:6]:
            assert ask(user)[:2] == by_user[user][:2], "who has got a version stays with it"
        said = {name: text for name, text, _ in by_user.values()}
        assert said["tiny"] != said["b"]
        assert ask("user0", "b")[:2] == ("b", said["b"])
        listed = [one.id for one in server.client().models.list().data]
        assert listed == ["tiny", "b"]
        assert server.metric("burnish_steps") > 40
    with closing(sqlite3.connect(store)) as connection:
        kept = dict(connection.execute("select id, model from answers"))
    for name, _, number in by_user.values():
        assert kept[number] == ("b's hash" if name == "b" else "a's hash")


def test_shares_are_checked() -> None:
    versions = named_paths("--version", ["b=runs/y", "c=runs/z"], ["a"])
    assert shared(["b=0.25"], versions) == {"b": 0.25, "c": 0.0}
    for given, said in ((["d=0.1"], "of the versions b, c"), (["b=2"], "from 0 to 1"), (["b=.6", "c=.6"], "together")):
        with pytest.raises(BurnishError, match=said):
            shared(given, versions)
    with pytest.raises(BurnishError, match="name of another"):
        named_paths("--version", ["a=x"], ["a"])

"""A chat whose template leaves out what was said is refused, not answered without it."""

import pytest

import burnish
from burnish.console.conversation import Chat
from burnish.errors import DataError
from burnish.generation.sampling import Sampling
from workshop import CHATML, make_workshop


def test_a_system_prompt_that_the_template_leaves_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = make_workshop(tmp_path_factory.mktemp("chat")).parent
    file = folder / "model" / "tokenizer_config.json"
    loop = "{% for m in messages %}"
    assert loop in CHATML
    file.write_text(file.read_text().replace(loop, "{% for m in messages if m.role != 'system' %}"))
    decoder, tokenizer = burnish.load(folder / "model", compute_dtype="float32", device="cpu")
    sampling = Sampling(temperature=0.0, max_new_tokens=2)
    assert list(Chat(decoder, tokenizer, sampling=sampling).ask("1?"))
    with pytest.raises(DataError, match=r"leaves out the content of message 1 \(system\)"):
        list(Chat(decoder, tokenizer, system="Answer in SQL.", sampling=sampling).ask("1?"))

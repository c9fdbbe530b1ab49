"""Generation in text is generation in tokens between a template and a decoding."""

from dataclasses import replace

import pytest

import burnish
from burnish.errors import DataError
from burnish.generation import engine
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.text.chat import encode_prompt
from burnish.text.tokenizer import Tokenizer
from tiny_models import TINY
from workshop import tiny_tokenizer


@pytest.fixture(scope="module")
def model() -> tuple[Decoder, Tokenizer]:
    tokenizer = tiny_tokenizer()
    decoder = Decoder(replace(TINY, vocab_size=tokenizer.vocab_size))
    decoder.embedding.weight.data.mul_(5)
    return decoder, tokenizer


def test_answers_are_those_of_the_templates_tokens(model: tuple[Decoder, Tokenizer]) -> None:
    decoder, tokenizer = model
    found = burnish.generate(
        decoder, tokenizer, ["1 mod 3?", "2 mod 3?"], n=2, system="Be brief.", temperature=1.0, max_new_tokens=6, seed=4
    )
    prompts = [
        encode_prompt(tokenizer, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}])
        for question in ("1 mod 3?", "2 mod 3?")
    ]
    sampling = Sampling(max_new_tokens=6, stop=tokenizer.stop_ids)
    expected = engine.generate(decoder, prompts, sampling, n=2, seed=4)
    assert found == [[tokenizer.decode(one.tokens) for one in each] for each in expected]
    assert [len(each) for each in found] == [2, 2]
    assert found[0][0] != found[0][1]


def test_a_question_is_a_conversation_of_one_message(model: tuple[Decoder, Tokenizer]) -> None:
    asked = burnish.generate(*model, ["2 mod 3?"], max_new_tokens=5)
    assert asked == burnish.generate(*model, [[{"role": "user", "content": "2 mod 3?"}]], max_new_tokens=5)


def test_raw_text_goes_on_without_a_template(model: tuple[Decoder, Tokenizer]) -> None:
    decoder, tokenizer = model
    found = burnish.generate(decoder, tokenizer, ["SELECT 1"], raw=True, max_new_tokens=5)
    sampling = Sampling(temperature=0, max_new_tokens=5, stop=tokenizer.stop_ids)
    ((expected,),) = engine.generate(decoder, [tokenizer.encode("SELECT 1")], sampling)
    assert found == [[tokenizer.decode(expected.tokens)]]


def test_a_prompt_that_leaves_no_room_is_named(model: tuple[Decoder, Tokenizer]) -> None:
    with pytest.raises(DataError, match=r"prompts\[1\]: \d+ tokens and 50 new ones"):
        burnish.generate(*model, ["short", "long " * 300], max_new_tokens=50)


def test_one_text_instead_of_a_list_is_explained(model: tuple[Decoder, Tokenizer]) -> None:
    with pytest.raises(TypeError, match=r"write \[prompt\]"):
        burnish.generate(*model, "2 mod 3?")


def test_stop_strings_cut_the_text_and_end_the_row(model: tuple[Decoder, Tokenizer]) -> None:
    decoder, tokenizer = model
    questions, options = ["2 mod 3?", "1 mod 3?", "7 mod 3?"], {"repetition_penalty": 1e6, "max_new_tokens": 30}
    plain = [text for (text,) in burnish.generate(decoder, tokenizer, questions, **options)]
    stop = [next(c for c in text[start:] if c != "\ufffd") for text, start in zip(plain, (2, 4), strict=False)]
    found = [text for (text,) in burnish.generate(decoder, tokenizer, questions, **options, stop=stop)]
    for text, whole in zip(found, plain, strict=True):
        assert text == min((whole.partition(string)[0] for string in stop), key=len)
    assert len(found[0]) < len(plain[0])
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": questions[0]}])
    sampling = Sampling(temperature=0, **options, stop=tokenizer.stop_ids, stop_strings=tuple(stop))
    ((first,),) = engine.generate(decoder, [prompt], sampling, tokenizer=tokenizer)
    assert (first.finish_reason, first.stop, first.text) == ("stop", None, found[0])
    assert any(string in tokenizer.decode(first.tokens) for string in stop)
    assert len(first.tokens) < 30
    with pytest.raises(ValueError, match="give the tokenizer that reads it"):
        engine.generate(decoder, [prompt], sampling)
    with pytest.raises(TypeError, match=r"write \[stop\]"):
        burnish.generate(decoder, tokenizer, ["2 mod 3?"], stop="\n")
    with pytest.raises(ValueError, match="must not be empty"):
        burnish.generate(decoder, tokenizer, ["2 mod 3?"], max_new_tokens=5, stop=[""])

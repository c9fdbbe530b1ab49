"""A chat template as texts around messages: what it renders, as the chat template renders it; else nothing."""

from dataclasses import replace

import pytest
from simple_templates import GEMMA, LLAMA_3, LONG, NUMBERED, SHOUTED, THINKING_ONLY_LAST, WITH_DEFAULT

from burnish.deployment.turns import Turns, turns
from burnish.text.chat import render
from burnish.text.tokenizer import Tokenizer


@pytest.mark.parametrize("template", [None, LLAMA_3, GEMMA, WITH_DEFAULT])
@pytest.mark.parametrize("first", [0, 1])
def test_texts_around_messages_render_as_the_template(
    template: str | None, first: int, tiny_tokenizer: Tokenizer
) -> None:
    tokenizer = replace(tiny_tokenizer, chat_template=template or tiny_tokenizer.chat_template)
    found = turns(tokenizer)
    assert found is not None
    assert found.render(LONG[first:]) == render(tokenizer, LONG[first:], add_generation_prompt=True)


def test_the_token_that_is_added_anyway_is_not_written_twice(tiny_tokenizer: Tokenizer) -> None:
    tokenizer = replace(tiny_tokenizer, chat_template=LLAMA_3, add_bos=True)
    found = turns(tokenizer)
    assert found is not None
    bos = tokenizer.token(tokenizer.bos_id)
    assert bos is not None
    assert bos + found.render(LONG) == render(tokenizer, LONG, add_generation_prompt=True)


@pytest.mark.parametrize("template", [THINKING_ONLY_LAST, NUMBERED, SHOUTED, "{{ raise_exception('no') }}", "no slots"])
def test_a_template_that_does_more_gives_nothing(template: str, tiny_tokenizer: Tokenizer) -> None:
    assert turns(replace(tiny_tokenizer, chat_template=template)) is None


def test_the_pieces_of_chatml(tiny_tokenizer: Tokenizer) -> None:
    assert turns(tiny_tokenizer) == Turns(
        opened="",
        system="<|im_start|>system\n",
        system_end="<|im_end|>\n",
        asked="<|im_start|>user\n",
        asked_end="<|im_end|>\n<|im_start|>assistant\n",
        answer="",
        answer_end="<|im_end|>\n",
    )

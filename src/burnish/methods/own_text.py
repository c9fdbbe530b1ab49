"""Text of the model's own to replay against forgetting, where there is no general text like that it was trained on.

The model writes down what it knows, from the token that begins a text, or, with a chat template, as questions and
answers: behind the opening of a user's turn it asks itself (Xu 2024, arXiv:2406.08464), then answers. What is replayed
is then a sample of the model that training starts from (Sun 2019, arXiv:1909.03329).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from burnish.errors import DataError
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

Kind = Literal["own_text", "own_chats"]
MIN_TOKENS = 16
"""A shorter piece has next to no context, and is not kept."""
_MARK = "QUESTION"
OWN_TEXTS = 64
LEAST_TEXTS = 8
"""Texts that are written side by side, at most and at least."""


def with_own_text(
    corpus: "TokenCorpus", model: "Decoder", tokenizer: "Tokenizer", kind: Kind, n_tokens: int, run: Run
) -> "TokenCorpus":
    """The corpus with at least so many tokens that the model writes at temperature 1 as its general training text.

    Written once: an interrupted training goes on with the same. Raises DataError where the model writes nothing.
    """
    from burnish.corpus.mix import GENERAL
    from burnish.corpus.windows import pack

    def write() -> list[list[int]]:
        texts: list[list[int]] = []
        had = written = 0
        with run.display.bar("own text", n_tokens, "tokens") as bar:
            while had < n_tokens:
                # Few have as many tokens as they may.
                count = min(OWN_TEXTS, max(LEAST_TEXTS, -(-2 * (n_tokens - had) // corpus.window)))
                new = _written(model, tokenizer, kind, corpus.window, count, seed=run.seed + written)
                kept = [text for text in new if len(text) >= MIN_TOKENS]
                written += count
                texts += kept
                had += sum(map(len, kept))
                bar.update(min(had, n_tokens))
                if written >= 4 * OWN_TEXTS and not texts:
                    raise DataError(
                        f"replay_from: of {written} texts that the model wrote none is whole with {MIN_TOKENS} tokens; "
                        "name general text in the corpus stage, and set replay_from: general"
                    )
        return texts

    texts = run.remembered(f"{kind}-{n_tokens}", write)
    windows = pack([np.array(text, dtype=np.int32) for text in texts], corpus.window)
    run.display.say(f"  the model wrote {windows.n_tokens:,} tokens in {len(texts):,} texts, which are replayed")
    empty = pack([], corpus.window)
    heldout = corpus.heldout if GENERAL in corpus.heldout else {**corpus.heldout, GENERAL: empty}
    return replace(corpus, train={**corpus.train, GENERAL: windows}, heldout=heldout)


def _written(
    model: "Decoder", tokenizer: "Tokenizer", kind: Kind, window: int, count: int, *, seed: int
) -> list[list[int]]:
    """Up to `count` texts of the model's, each as training is to see it."""
    from burnish.generation.engine import generate
    from burnish.generation.sampling import Sampling

    if kind == "own_text":
        begin = _beginning(tokenizer)
        sampling = Sampling(max_new_tokens=window - 1, stop=_ends(tokenizer))
        ((*found,),) = generate(model, [[begin]], sampling, n=count, seed=seed)
        kept = [begin] if tokenizer.add_bos else []
        return [[*kept, *one.tokens, *([] if one.stop is None else [one.stop])] for one in found]
    return _chats(model, tokenizer, window, count, seed=seed)


def _chats(model: "Decoder", tokenizer: "Tokenizer", window: int, count: int, *, seed: int) -> list[list[int]]:
    from burnish.generation.engine import generate
    from burnish.generation.sampling import Sampling
    from burnish.text.chat import encode_prompt

    opening = opening_of_a_question(tokenizer)
    half = max(2, window // 2)
    asking = Sampling(max_new_tokens=max(1, half - len(opening)), stop=tokenizer.stop_ids)
    ((*asked,),) = generate(model, [opening], asking, n=count, seed=seed)
    questions = [tokenizer.decode(one.tokens).strip() for one in asked if one.stop is not None]
    prompts = [encode_prompt(tokenizer, [{"role": "user", "content": text}]) for text in questions if text]
    prompts = [prompt for prompt in prompts if len(prompt) <= half]
    if not prompts:
        return []
    answering = Sampling(max_new_tokens=window - half, stop=tokenizer.stop_ids)
    answered = generate(model, prompts, answering, seed=seed + 1)
    return [
        [*prompt, *one.tokens, one.stop]
        for prompt, (one,) in zip(prompts, answered, strict=True)
        if one.stop is not None
    ]


def opening_of_a_question(tokenizer: "Tokenizer") -> list[int]:
    """What a chat template writes before a user's first words. Raises DataError where there is no template."""
    from burnish.text.chat import render

    if tokenizer.chat_template is None:
        raise DataError(f"replay_from: own_chats: {tokenizer.source} has no chat template; set replay_from: own_text")
    text = render(tokenizer, [{"role": "user", "content": _MARK}])
    return tokenizer.encode(text[: text.index(_MARK)], special=True)


def _beginning(tokenizer: "Tokenizer") -> int:
    """The token behind which a text begins: that of beginnings, else that which ended the text before."""
    begin = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.eos_id
    if begin is None:
        raise DataError(
            f"replay_from: own_text: {tokenizer.source} has no token that begins or ends a text; set "
            "replay_from: general, and name general text in the corpus stage"
        )
    return begin


def _ends(tokenizer: "Tokenizer") -> frozenset[int]:
    return frozenset() if tokenizer.eos_id is None else frozenset([tokenizer.eos_id])

"""Questions in, answers out: generation for a user's own script, in text."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.datasets.text_pairs import encode_source
from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.generation.engine import generate as generate_tokens
from burnish.generation.engine import generate_from as write_tokens
from burnish.generation.request import Completion
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.text.chat import Message, encode_prompt
from burnish.text.tokenizer import Tokenizer


def generate(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[str | Sequence[Message]],
    *,
    system: str | None = None,
    raw: bool = False,
    n: int = 1,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    max_new_tokens: int = 256,
    seed: int = 0,
    batch_size: int = 128,
) -> list[list[str]]:
    """`n` answers to each prompt, in order; without a temperature always the most probable tokens.

    Args:
        prompts: questions, or conversations of messages (`role`, `content`); the chat template says where the answer
            begins, and what ends it.
        system: system prompt of the questions; conversations have their own.
        stop: strings that end an answer, which is cut before the first of them.
        raw: take each prompt as text to be continued, without a template, as a base model does.
        batch_size: answers that are written at the same time.

    The same call gives the same texts. Raises DataError for a prompt that the template refuses or that leaves no room
    in the context, CheckpointError where the tokenizer has no template.
    """
    if isinstance(stop, str):
        raise TypeError("stop must be a list of strings; got one text: write [stop]")
    if isinstance(prompts, str):
        raise TypeError("prompts must be a list, one text or conversation an entry; got one text: write [prompt]")
    encoded = []
    context = tokenizer.context_length or decoder.config.max_positions
    for number, prompt in enumerate(prompts):
        tokens = _encode(tokenizer, prompt, system, raw)
        if len(tokens) + max_new_tokens > context:
            raise DataError(
                f"prompts[{number}]: {len(tokens)} tokens and {max_new_tokens} new ones are more than the model's "
                f"context of {context}; shorten the prompt or lower max_new_tokens"
            )
        encoded.append(tokens)
    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        stop=tokenizer.stop_ids,
        stop_strings=tuple(stop),
    )
    answers = generate_tokens(decoder, encoded, sampling, n=n, seed=seed, batch_size=batch_size, tokenizer=tokenizer)
    return [[completion_text(answer, tokenizer) for answer in each] for each in answers]


def completion_text(completion: Completion, tokenizer: Tokenizer) -> str:
    """What a completion says, without the stop string that ended it."""
    return tokenizer.decode(completion.tokens) if completion.text is None else completion.text


def answer_of(
    completion: Completion,
    tokenizer: Tokenizer,
    prompt: Sequence[Mapping[str, Any]],
    row: Mapping[str, Any],
    place: str = "",
) -> Answer:
    """A completion as the answer to the messages of a prompt, which is what judges and files take."""
    text, finished = completion_text(completion, tokenizer), completion.finish_reason == "stop"
    return Answer(prompt, text, row, completion.drawn, completion.logp, finished, place)


def generate_from(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    *,
    n: int = 1,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    max_new_tokens: int = 256,
    seed: int = 0,
    batch_size: int = 128,
) -> list[list[str]]:
    """`n` texts that an encoder-decoder writes from each source, in order. Arguments as for `generate`.

    Raises BurnishError for an empty source, and for one or a `max_new_tokens` beyond the model's learned positions.
    """
    if isinstance(sources, str):
        raise TypeError("sources must be a list, one text an entry; got one text: write [source]")
    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        stop=tokenizer.stop_ids,
        stop_strings=tuple(stop),
    )
    encoded = [encode_source(tokenizer, source) for source in sources]
    written = write_tokens(model, encoded, sampling, n=n, seed=seed, batch_size=batch_size, tokenizer=tokenizer)
    return [[completion_text(target, tokenizer) for target in each] for each in written]


def _encode(tokenizer: Tokenizer, prompt: str | Sequence[Message], system: str | None, raw: bool) -> list[int]:
    if isinstance(prompt, str):
        if raw:
            start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
            return start + tokenizer.encode(prompt)
        opening: list[Message] = [{"role": "system", "content": system}] if system else []
        return encode_prompt(tokenizer, [*opening, {"role": "user", "content": prompt}])
    return encode_prompt(tokenizer, prompt)

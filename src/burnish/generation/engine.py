"""Batched generation: prompts in, completions out.

Rows run in waves of `batch_size`. All prompts of a wave are one forest, so that shared prompts run once; each of
the `n` samples of a prompt is a row. Rows that finish leave the batch. An encoder-decoder writes from sources in the
same way: each is encoded once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.generation.sampling import Sampling, choose
from burnish.generation.sources import SourceCache
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.text.streaming import StreamedText
from burnish.text.tokenizer import Tokenizer

_WORTH_PACKING = 16
"""Steps from which on packing the weights costs less than it saves."""
_LONGEST_BLOCK = 256
"""Tokens a row that there is room for at first, however many may come: most completions end long before."""
_CROWDED = 0.85
"""Finished rows leave once the rest is at most this share of the batch: leaving copies the keys and values of all."""


@dataclass(frozen=True)
class Completion:
    """Generated token ids without the stop token; `logp` is their summed log-probability, the stop's included.

    `logp` is in nats under the model itself (temperature 1, nothing truncated). `finish_reason` is `stop` or `length`;
    `stop` is the token that ended it, None where a stop string or the length did. `text` is there where stop strings
    are: the completion's, cut before the first of them, while the tokens are all that were drawn. `logps`: the terms of
    `logp`, token by token; `sampling_logps`: the same at the temperature that they were drawn at.
    """

    tokens: list[int]
    logp: float
    finish_reason: str
    stop: int | None = None
    text: str | None = None
    logps: list[float] = field(default_factory=list, compare=False)
    sampling_logps: list[float] = field(default_factory=list, compare=False)

    @property
    def drawn(self) -> list[int]:
        """All tokens that were drawn, with the one that ended it."""
        return self.tokens if self.stop is None else [*self.tokens, self.stop]


@dataclass(frozen=True)
class GenerationProgress:
    """What a progress bar shows while generating."""

    finished: int
    total: int
    new_tokens: int


@torch.inference_mode()
def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    n: int = 1,
    seed: int = 0,
    batch_size: int = 128,
    tokenizer: Tokenizer | None = None,
    on_progress: Callable[[GenerationProgress], None] = lambda _: None,
) -> list[list[Completion]]:
    """`n` completions for each prompt, in order.

    tokenizer: reads the text that stop strings are looked for in; ValueError where there are some and it is left out.
    The draws are a function of (seed, wave, step): the same call gives the same tokens.
    """

    def begin(rows: Sequence[int], generator: torch.Generator) -> _Wave:
        return _continuing(decoder, [prompts[row] for row in rows], sampling, generator)

    stops = _stops(sampling, tokenizer)
    return _in_waves(begin, len(prompts), n=n, seed=seed, batch_size=batch_size, stops=stops, on_progress=on_progress)


@torch.inference_mode()
def generate_from(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    n: int = 1,
    seed: int = 0,
    batch_size: int = 128,
    tokenizer: Tokenizer | None = None,
    on_progress: Callable[[GenerationProgress], None] = lambda _: None,
) -> list[list[Completion]]:
    """`n` targets for each source, in order; as `generate` otherwise.

    What every target begins with (`EncoderDecoderConfig.prefix`) is not part of a completion.
    """

    def begin(rows: Sequence[int], generator: torch.Generator) -> _Wave:
        return _writing_from(model, [sources[row] for row in rows], sampling, generator)

    stops = _stops(sampling, tokenizer)
    return _in_waves(begin, len(sources), n=n, seed=seed, batch_size=batch_size, stops=stops, on_progress=on_progress)


Stops = Callable[[], StreamedText]
"""Makes what looks for stop strings in the text of one row."""


def _stops(sampling: Sampling, tokenizer: Tokenizer | None) -> Stops | None:
    if not sampling.stop_strings:
        return None
    if tokenizer is None:
        raise ValueError("stop strings are looked for in the text: give the tokenizer that reads it")
    return lambda: StreamedText(tokenizer, sampling.stop_strings)


def _in_waves(
    begin: Callable[[Sequence[int], torch.Generator], "_Wave"],
    n_prompts: int,
    *,
    n: int,
    seed: int,
    batch_size: int,
    stops: Stops | None,
    on_progress: Callable[[GenerationProgress], None],
) -> list[list[Completion]]:
    rows = [prompt for prompt in range(n_prompts) for _ in range(n)]
    completions: list[Completion] = []
    new_tokens = 0
    for wave, start in enumerate(range(0, len(rows), batch_size)):
        generator = torch.Generator().manual_seed(_wave_seed(seed, wave))

        def report(finished: int, tokens: int, start: int = start, before: int = new_tokens) -> None:
            on_progress(GenerationProgress(start + finished, len(rows), before + tokens))

        finished = _run_wave(begin(rows[start : start + batch_size], generator), report, stops)
        completions.extend(finished)
        new_tokens += sum(len(completion.tokens) for completion in finished)
    return [completions[start : start + n] for start in range(0, len(completions), n)]


@torch.inference_mode()
def stream(decoder: Decoder, prompt: Sequence[int], sampling: Sampling, *, seed: int = 0) -> Iterator[int]:
    """The tokens of one completion, each as soon as it is chosen."""
    wave = _continuing(decoder, [prompt], sampling, torch.Generator().manual_seed(_wave_seed(seed, 0)))
    for _ in range(sampling.max_new_tokens):
        token = int(wave.choose()[0])
        if token in sampling.stop:
            return
        yield token
        wave.advance()


def _continuing(
    decoder: Decoder, prompts: Sequence[Sequence[int]], sampling: Sampling, generator: torch.Generator
) -> "_Wave":
    """A wave of rows that go on from prompts."""
    decoder.eval()
    forest, ends = Forest.from_sequences(prompts)
    _check_positions(decoder, forest.longest_path, sampling)
    order = sorted(range(len(prompts)), key=lambda row: ends[row])
    rows, first_block = [ends[row] for row in order], min(sampling.max_new_tokens, _LONGEST_BLOCK)
    cache = KVCache(decoder, forest.to(decoder.device), rows, first_block=first_block)
    return _Wave(decoder, cache, prompts, order, sampling, generator)


def _writing_from(
    model: EncoderDecoder, sources: Sequence[Sequence[int]], sampling: Sampling, generator: torch.Generator
) -> "_Wave":
    """A wave of rows that are written from sources."""
    model.eval()
    # In order of length, so that sources of similar length are read in one product.
    distinct = sorted({tuple(source) for source in sources}, key=lambda source: (len(source), source))
    place = {source: number for number, source in enumerate(distinct)}
    order = sorted(range(len(sources)), key=lambda row: place[tuple(sources[row])])
    rows, prefix = [place[tuple(sources[row])] for row in order], model.config.prefix
    _check_sources(model, distinct)
    _check_positions(model.decoder, len(prefix), sampling)
    prompts = Forest.from_segments((prefix, -1) for _ in distinct).to(model.device)
    encoded = SourceCache(model, Forest.from_segments((x, -1) for x in distinct).to(model.device), prompts, rows)
    first_block = min(sampling.max_new_tokens, _LONGEST_BLOCK)
    cache = KVCache(model.decoder, prompts, rows, first_block=first_block, sources=encoded)
    return _Wave(model.decoder, cache, [prefix] * len(sources), order, sampling, generator)


class _Wave:
    """Rows that started together: their cache, and what chooses their next tokens."""

    def __init__(
        self,
        decoder: Decoder,
        cache: KVCache,
        prompts: Sequence[Sequence[int]],
        order: Sequence[int],
        sampling: Sampling,
        generator: torch.Generator,
    ) -> None:
        self.order = list(order)
        """The row of `prompts` at each place of the batch: rows below one segment are neighbours."""
        prompts = [prompts[row] for row in self.order]
        self.sampling = sampling
        self._decoder, self._cache, self._generator = decoder, cache, generator
        self._pack(len(prompts))
        self._hidden = self._cache.last_hidden
        self._history: Tensor | None = None
        if sampling.repetition_penalty != 1:
            longest = max(len(prompt) for prompt in prompts)
            padded = [[*prompt, *[prompt[-1]] * (longest - len(prompt))] for prompt in prompts]
            self._history = torch.tensor(padded, device=decoder.device)
        self.tokens = torch.empty(0, dtype=torch.int64)
        self.logps = self.sampling_logps = torch.empty(0)

    def choose(self) -> Tensor:
        """Choose the next token of each row; `tokens`, `logps` and `sampling_logps` `[rows]` hold them."""
        logits = self._decoder.logits(self._hidden)
        uniform = torch.rand(len(logits), generator=self._generator).to(logits.device)
        choice = choose(logits, self.sampling, uniform, history=self._history)
        self.tokens, self.logps, self.sampling_logps = choice.tokens, choice.logps, choice.sampling_logps
        return self.tokens

    def advance(self, kept: Tensor | None = None) -> None:
        """Feed the chosen tokens back, after dropping all rows but `kept` (indices)."""
        if kept is not None:
            self._cache.keep(kept)
            self._pack(len(kept))
            self.tokens = self.tokens[kept]
            self._history = None if self._history is None else self._history[kept]
        if self._history is not None:
            self._history = torch.cat([self._history, self.tokens[:, None]], dim=1)
        self._hidden = self._cache.step(self.tokens)

    def _pack(self, rows: int) -> None:
        if self.sampling.max_new_tokens >= _WORTH_PACKING:
            self._decoder.pack(rows)


def _check_positions(decoder: Decoder, longest: int, sampling: Sampling) -> None:
    config = decoder.config
    if config.positions == "learned" and longest + sampling.max_new_tokens > config.max_positions:
        raise BurnishError(
            f"a prompt of {longest} tokens and {sampling.max_new_tokens} new ones need more than the "
            f"{config.max_positions} positions that the model has learned; shorten the prompt or lower max_new_tokens"
        )


def _check_sources(model: EncoderDecoder, sources: Sequence[Sequence[int]]) -> None:
    config = model.config.encoder
    if not all(sources):
        raise BurnishError("a source is empty: there is nothing to write from")
    longest = max(map(len, sources))
    if config.positions == "learned" and longest > config.max_positions:
        raise BurnishError(
            f"a source of {longest} tokens needs more than the {config.max_positions} positions that the model has "
            "learned; shorten the source"
        )


def _run_wave(wave: _Wave, report: Callable[[int, int], None], stops: Stops | None) -> list[Completion]:
    sampling = wave.sampling
    completions = [Completion([], 0.0, "length") for _ in wave.order]
    texts = [] if stops is None else [stops() for _ in wave.order]
    in_batch = wave.order
    new_tokens = 0
    for step in range(sampling.max_new_tokens):
        tokens = wave.choose().tolist()
        logps = wave.logps.tolist()
        sampling_logps = logps if wave.sampling_logps is wave.logps else wave.sampling_logps.tolist()
        going_on = []
        for place, row in enumerate(in_batch):
            so_far = completions[row]
            if so_far.finish_reason == "stop":
                continue
            so_far.logps.append(logps[place])
            so_far.sampling_logps.append(sampling_logps[place])
            if tokens[place] in sampling.stop:
                logp = so_far.logp + logps[place]
                completions[row] = replace(so_far, logp=logp, finish_reason="stop", stop=tokens[place])
            else:
                so_far.tokens.append(tokens[place])
                completions[row] = replace(so_far, logp=so_far.logp + logps[place])
                if texts:
                    texts[row].add(tokens[place])
                    if texts[row].stopped:
                        completions[row] = replace(completions[row], finish_reason="stop")
                        continue
                going_on.append(place)
        new_tokens += len(going_on)
        report(len(completions) - len(going_on), new_tokens)
        if not going_on or step + 1 == sampling.max_new_tokens:
            break
        if len(going_on) <= _CROWDED * len(in_batch):
            in_batch = [in_batch[place] for place in going_on]
            wave.advance(torch.tensor(going_on, device=wave.tokens.device))
        else:
            wave.advance()
    if texts:
        return [replace(one, text=text.text) for one, text in zip(completions, texts, strict=True)]
    return completions


def _wave_seed(seed: int, wave: int) -> int:
    return int(np.random.SeedSequence([seed, wave]).generate_state(1, np.uint64)[0] >> np.uint64(1))

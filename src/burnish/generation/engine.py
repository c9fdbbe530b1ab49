"""The engine: requests come and go between steps, each step one token for all of them.

    engine = Engine(decoder)
    engine.add(Request(prompt=[1, 2, 3], sampling=Sampling(max_new_tokens=8), seed=7))
    while engine.busy:
        for drawn in engine.step():
            ...

Notable choices:
- whatever decides a request's tokens is its own: prompt, sampling, stops, and draws that are a function of its seed and
  the place of the token; who its neighbours are changes at most how sums are rounded;
- requests that begin in the same step are one forest, so that a prompt which several share runs once;
- an encoder-decoder writes from sources in the same way: each is encoded once.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from burnish.generation.batch import Batch
from burnish.generation.beginning import check, continued, written_from
from burnish.generation.drafts import Speculation
from burnish.generation.grammar import Grammar
from burnish.generation.prompts import Joining, Prompts
from burnish.generation.request import Completion, Drawn, Request, samples
from burnish.generation.rows import Row
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.nn.routed_lora import Adapters
from burnish.text.tokenizer import Tokenizer


class Engine:
    """Completions of many requests at once, by a decoder or an encoder-decoder.

    tokenizer: reads the text that stop strings are looked for in. max_rows: requests that run at the same time; others
    wait. join_at: those that wait join once so many places are free, or nothing runs: 1 is best for who waits, more for
    all work together.

    A decoder's engine may keep keys and values in `cache_bytes`, so that prompts go on from what an earlier one began
    with; at most `prefill_tokens` of prompts run in a step, so that long ones do not hold up who is being answered.
    The model must not change while requests run, and `forget` follows where it has changed. With `speculation` tokens
    are guessed and several of a row verified in one step: the tokens are the same, some come sooner. adapters: those
    that requests may name, of this model.
    """

    def __init__(
        self,
        model: Decoder | EncoderDecoder,
        *,
        tokenizer: Tokenizer | None = None,
        max_rows: int = 128,
        join_at: int = 1,
        cache_bytes: int = 0,
        prefill_tokens: int | None = None,
        speculation: Speculation | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._max_rows, self._join_at = max_rows, join_at
        self._waiting: deque[Row] = deque()
        self._running: dict[int, Row] = {}
        if speculation is not None and isinstance(model, EncoderDecoder):
            raise ValueError("an encoder-decoder does not speculate")
        self._batch = Batch(model.decoder if isinstance(model, EncoderDecoder) else model, speculation, adapters)
        self._adapters = adapters
        self._prompts: Prompts | None = None
        if cache_bytes or prefill_tokens is not None:
            if isinstance(model, EncoderDecoder):
                raise ValueError("an encoder-decoder keeps no prompts: every target begins alike")
            self._prompts = Prompts(model, cache_bytes, prefill_tokens)
        self._added = 0

    @property
    def busy(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self._waiting or self._running)

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that have begun and not ended."""
        return len(self._running)

    @property
    def guesses(self) -> tuple[int, int]:
        """Tokens that were guessed so far, and how many of them were right."""
        found = self._batch.guesses
        return (0, 0) if found is None else (found.guessed, found.right)

    @property
    def cached_bytes(self) -> int:
        """Bytes of the keys and values that are kept for prompts to come, and of those that requests stand on."""
        return 0 if self._prompts is None else self._prompts.n_bytes

    def forget(self) -> None:
        """Keep nothing of earlier prompts. Raises ValueError while requests run."""
        if self._running:
            raise ValueError("requests are being answered from what is to be forgotten")
        if self._prompts is not None:
            self._prompts.clear()

    def add(self, request: Request) -> int:
        """Let a request wait for the next step; returns the number that its tokens come with.

        Raises BurnishError for a request that the model has no positions for or an empty source, ValueError for an
        empty prompt, for stop strings without a tokenizer, and for an adapter that is not there.
        """
        check(self._model, request)
        known = () if self._adapters is None else self._adapters.adapters
        if request.adapter is not None and request.adapter not in known:
            raise ValueError(f"no adapter {request.adapter!r} is there")
        row = Row(self._added, request, self._tokenizer)
        self._added += 1
        self._waiting.append(row)
        return row.number

    def remove(self, number: int) -> bool:
        """Forget a request, whether it waits or runs; False where it is not there (any more)."""
        row = self._running.get(number)
        if row is not None:
            row.finish_reason = "removed"
            self._leave(row)
            return True
        found = next((row for row in self._waiting if row.number == number), None)
        if found is not None:
            self._waiting.remove(found)
        return found is not None

    @torch.inference_mode()
    def step(self) -> list[Drawn]:
        """The next token of every request whose prompt has run, those that join in this step included.

        With speculation there may be several of one request, in their order.
        """
        self._batch.advance()
        free = self._max_rows - len(self._running)
        if self._waiting and free and (free >= self._join_at or not self._running):
            self._begin([self._waiting.popleft() for _ in range(min(free, len(self._waiting)))])
        if self._prompts is not None:
            for adapter in self._prompts.next_adapters():
                with self._routed(adapter):
                    self._join(self._prompts.run(adapter))
        drawn = self._batch.choose()
        for one in drawn:
            if one.completion is not None:
                self._end(self._running[one.request])
        return drawn

    def run(
        self, requests: Sequence[Request], on_progress: "Callable[[GenerationProgress], None]" = lambda _: None
    ) -> list[Completion]:
        """The completion of each request, in order. Raises ValueError where the engine is busy with others."""
        if self.busy:
            raise ValueError("the engine is busy with other requests")
        places = {self.add(request): place for place, request in enumerate(requests)}
        completions: dict[int, Completion] = {}
        new_tokens = 0
        while len(completions) < len(requests):
            for drawn in self.step():
                if drawn.completion is not None:
                    completions[places[drawn.request]] = drawn.completion
                new_tokens += drawn.completion is None or drawn.completion.stop is None
            on_progress(GenerationProgress(len(completions), len(requests), new_tokens))
        return [completions[place] for place in range(len(requests))]

    def _begin(self, rows: list[Row]) -> None:
        self._model.eval()
        self._running |= {row.number: row for row in rows}
        if isinstance(self._model, EncoderDecoder):
            self._join(written_from(self._model, rows))
        elif self._prompts is not None:
            self._prompts.waiting += rows
        else:
            # What two adapters make of the same tokens differs, so that they share no prompt.
            for adapter in dict.fromkeys(row.request.adapter for row in rows):
                with self._routed(adapter):
                    self._join(continued(self._model, [row for row in rows if row.request.adapter == adapter]))

    def _routed(self, adapter: str | None) -> AbstractContextManager[None]:
        """Within the block all tokens are an adapter's."""
        if adapter is None or self._adapters is None:
            return nullcontext()
        return self._adapters.routed([(adapter, None)])

    def _join(self, joining: "Joining | None") -> None:
        if joining is not None:
            self._batch.join(*joining)

    def _end(self, row: Row) -> None:
        if self._prompts is not None and row.request.remember and row.n_drawn > 1:
            self._prompts.remember(row, self._batch.generated(row))
        self._leave(row)

    def _leave(self, row: Row) -> None:
        del self._running[row.number]
        if self._batch.guesses is not None:
            self._batch.guesses.forget(row)
        if self._prompts is not None:
            self._prompts.release(row)
        if not self._running:
            self._batch.clear()  # no step may follow soon


@dataclass(frozen=True)
class GenerationProgress:
    """What a progress bar shows while generating."""

    finished: int
    total: int
    new_tokens: int


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    n: int = 1,
    seed: int = 0,
    batch_size: int = 128,
    tokenizer: Tokenizer | None = None,
    grammar: Grammar | None = None,
    on_progress: Callable[[GenerationProgress], None] = lambda _: None,
) -> list[list[Completion]]:
    """`n` completions for each prompt, in order, `batch_size` at a time.

    grammar: the form of all of them. tokenizer: reads the text that stop strings are looked for in; ValueError where
    there are some and it is left out.
    The draws are a function of (seed, prompt's place, sample, token's place).
    """
    requests = [
        one
        for place, prompt in enumerate(prompts)
        for one in samples(prompt, sampling, n, seed, place, grammar=grammar)
    ]
    return _grouped(_for_all(decoder, batch_size, tokenizer).run(requests, on_progress), n)


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
    requests = [
        replace(one, source=source)
        for place, source in enumerate(sources)
        for one in samples(model.config.prefix, sampling, n, seed, place)
    ]
    return _grouped(_for_all(model, batch_size, tokenizer).run(requests, on_progress), n)


def _for_all(model: Decoder | EncoderDecoder, batch_size: int, tokenizer: Tokenizer | None) -> Engine:
    """An engine for work whose end counts, not that of one of its requests."""
    return Engine(model, tokenizer=tokenizer, max_rows=batch_size, join_at=max(1, batch_size // 4))


def _grouped(completions: Sequence[Completion], n: int) -> list[list[Completion]]:
    return [list(completions[start : start + n]) for start in range(0, len(completions), n)]


def stream(decoder: Decoder, prompt: Sequence[int], sampling: Sampling, *, seed: int = 0) -> Iterator[int]:
    """The tokens of one completion, each as soon as it is chosen; those of `generate` with this seed.

    Stop strings are the caller's to look for.
    """
    engine = Engine(decoder)
    engine.add(*samples(prompt, replace(sampling, stop_strings=()), 1, seed))
    while engine.busy:
        for drawn in engine.step():
            if drawn.completion is None or drawn.completion.stop is None:
                yield drawn.token

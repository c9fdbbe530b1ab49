"""A conversation with a model: its turns, and the ways in which one answer of several is given."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.generation.engine import Engine
from burnish.generation.grammar import Grammar
from burnish.generation.request import samples
from burnish.generation.sampling import Sampling
from burnish.generation.texts import answer_of
from burnish.nn.decoder import Decoder
from burnish.retrieval.examples import Examples
from burnish.retrieval.grounding import Grounded, Passages
from burnish.retrieval.intents import Intent
from burnish.retrieval.routing import SHOTS, Router, ranking_of
from burnish.rewards.gate import Gated, through_gate
from burnish.rewards.judgement import Judge
from burnish.rewards.votes import VOTE_TEMPERATURE
from burnish.text.chat import Message, encode_question
from burnish.text.streaming import StreamedText
from burnish.text.tokenizer import Tokenizer

CACHE_BYTES = 2**30
"""What a conversation's keys and values may take, so that each question runs alone and not behind its history again."""
RESET = "/reset"
"""What one writes to begin a new one."""


class Chat:
    """A conversation with a model; with `memory` it sees the turns before, else each question stands alone.

    seed: where sampling starts; every answer draws from a seed of its own, (`seed`, number of the answer).
    router: decides by what a question wants where its answer is looked up: in passages, in `examples`, which are turns
    before it, or nowhere; `intent` is what the last one wanted.
    passages: finds what a question is answered from. Only the question that is asked stands behind its passages; of
    the turns before the model sees the questions alone. `found` is what the last one was given.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        system: str | None = None,
        sampling: Sampling,
        memory: bool = True,
        seed: int = 0,
        passages: Passages | None = None,
        router: Router | None = None,
        examples: Examples | None = None,
        grammar: Grammar | None = None,
    ) -> None:
        self._decoder, self._tokenizer = decoder, tokenizer
        self._passages, self._grammar = passages, grammar
        self._router, self._examples = router, examples
        self.intent: Intent | None = None
        self.found: Grounded | None = None
        self._engine = Engine(decoder, tokenizer=tokenizer, cache_bytes=CACHE_BYTES)
        self._sampling = replace(sampling, stop=tokenizer.stop_ids)
        self._memory, self._seed, self._asked = memory, seed, 0
        self.system = system
        self._turns: list[Message] = []

    def reset(self) -> None:
        """Forget the turns so far; the system prompt stays."""
        self._turns = []

    def ask(self, question: str) -> Iterator[str]:
        """The answer, piece by piece as it is written. A question whose answer is not read to its end leaves no turn.

        Raises DataError where the conversation fills the model's context.
        """
        turns, prompt, sampling, seed = self._prepare(question)
        text = StreamedText(self._tokenizer, sampling.stop_strings)
        (request,) = samples(prompt, sampling, 1, seed, grammar=self._grammar)
        number = self._engine.add(replace(request, remember=self._memory))
        try:
            while self._engine.busy:
                for drawn in self._engine.step():
                    if drawn.completion is None or drawn.completion.stop is None:
                        yield text.add(drawn.token)
        finally:
            self._engine.remove(number)
        yield text.finish()
        if self._memory:
            self._turns = [*turns, {"role": "assistant", "content": text.text}]

    def elect(self, question: str, n: int, choose: Callable[[list[Answer]], int]) -> str:
        """The one of `n` sampled answers that `choose` picks; it gets them with the most probable first."""
        turns, prompt, sampling, seed = self._prepare(question)
        completions = self._engine.run(samples(prompt, sampling, n, seed, grammar=self._grammar))
        ranked = sorted(completions, key=lambda completion: -completion.logp)
        answers = [answer_of(one, self._tokenizer, turns, {}) for one in ranked]
        answer = answers[choose(answers)].text
        if self._memory:
            self._turns = [*turns, {"role": "assistant", "content": answer}]
        return answer

    def gated(self, question: str, judge: Judge, *, threshold: float, attempts: int) -> Gated:
        """The first of several answers that passes a gate; a question whose answers do not leaves no turn.

        After the first one they are drawn, at a temperature of at least 0.7.
        """
        turns, prompt, sampling, seed = self._prepare(question)
        drawn = replace(sampling, temperature=sampling.temperature or VOTE_TEMPERATURE)

        def sample(attempt: int) -> Answer:
            of_attempt = int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])
            requests = samples(prompt, drawn if attempt else sampling, 1, of_attempt, grammar=self._grammar)
            (one,) = self._engine.run(requests)
            return answer_of(one, self._tokenizer, turns, {})

        found = through_gate(sample, judge, threshold=threshold, attempts=attempts)
        if self._memory and found.answer is not None:
            self._turns = [*turns, {"role": "assistant", "content": found.answer.text}]
        return found

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    def decide(self, question: str) -> Intent | None:
        """What a question that is asked next wants, which says where its answer is looked up; None without intents."""
        self.intent = None if self._router is None else self._router.of(question)
        return self.intent

    def _looked_up(self, question: str) -> tuple[Passages | None, list[Message]]:
        """The passages that a question is answered from, and solved examples as turns before it."""
        intent, passages = self.decide(question), self._passages
        if intent is not None and passages is not None:
            wanted, ranking = ranking_of(intent, passages.ranking)
            passages = replace(passages, ranking=ranking) if wanted else None
        shots: list[Message] = []
        if self._examples is not None and (intent is None or "examples" in intent.ways):
            for asked, answered in self._examples.like(question, SHOTS):
                shots += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        return passages, shots

    def _prepare(self, question: str) -> tuple[list[Message], list[int], Sampling, int]:
        """The turns with the question, the prompt's tokens, the sampling that fits them, and the answer's seed.

        Raises DataError where the conversation fills the model's context.
        """
        opening: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        turns: list[Message] = [*self._turns, {"role": "user", "content": question}]
        context = self._tokenizer.context_length or self._decoder.config.max_positions
        self.found = None
        passages, shots = self._looked_up(question)
        if passages is not None:
            alone = len(encode_question(self._tokenizer, [*opening, *shots, *turns]).tokens)
            room = context - alone - self._sampling.max_new_tokens
            self.found = passages.ground(question, self._count, room=room)
        asked = question if self.found is None else self.found.prompt
        encoding = encode_question(
            self._tokenizer, [*opening, *shots, *self._turns, {"role": "user", "content": asked}]
        )
        if encoding.lost:
            part = encoding.lost[0]
            raise DataError(
                f"the chat template of {self._tokenizer.source} leaves out the {part.what} of message {part.place + 1} "
                f"({[*opening, *shots, *turns][part.place]['role']}), so the model would answer without it"
            )
        prompt = encoding.tokens
        if len(prompt) >= context:
            raise DataError(
                f"the conversation has {len(prompt)} tokens, which leaves no room for an answer in the model's "
                f"context of {context}; start a new one with {RESET}"
            )
        room = min(self._sampling.max_new_tokens, context - len(prompt))
        sampling = replace(self._sampling, max_new_tokens=room)
        seed = int(np.random.SeedSequence([self._seed, self._asked]).generate_state(1)[0])
        self._asked += 1
        return turns, prompt, sampling, seed

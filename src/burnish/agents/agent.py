"""Episodes with an engine: one at a time, as it is written; or many side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from burnish.agents.episode import Episode
from burnish.agents.tool import ToolBox
from burnish.agents.turn import Event, Over, TurnReader
from burnish.generation.engine import Engine
from burnish.generation.request import Completion, Request, derived_seed
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.text.chat import Message
from burnish.text.tokenizer import Tokenizer

CACHE_BYTES = 2**30
"""What a conversation's keys and values may take: each hop runs alone, and not behind its history again."""


class Agent:
    """A conversation with a model that calls tools; `turns` are its messages so far.

    open_box: the tools of a new conversation. memory: whether a question sees the turns before it.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        open_box: Callable[[], ToolBox],
        *,
        system: str | None = None,
        sampling: Sampling,
        memory: bool = True,
        seed: int = 0,
    ) -> None:
        self._tokenizer, self._open_box = tokenizer, open_box
        self._engine = Engine(decoder, tokenizer=tokenizer, cache_bytes=CACHE_BYTES)
        self._context = tokenizer.context_length or decoder.config.max_positions
        self._sampling = replace(sampling, stop=tokenizer.stop_ids)
        self._memory, self._seed, self._asked = memory, seed, 0
        self.system = system
        self.reset()

    def reset(self) -> None:
        """Forget the conversation; its tools begin anew too."""
        self.box, self.turns = self._open_box(), list[Message]()

    def ask(self, question: str) -> Iterator[Event]:
        """What happens until the question is answered. One that is not read to its end leaves no turn.

        Raises DataError where the conversation fills the model's context.
        """
        opening: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        if not self._memory:
            self.reset()
        asked: Message = {"role": "user", "content": question}
        episode = Episode(self._tokenizer, [*opening, *self.turns, asked], self.box, self._context)
        self._asked += 1
        turn = 0
        while episode.ended is None:
            yield from self._turn(episode, derived_seed(self._seed, self._asked, turn))
            turn += 1
        yield Over(episode.ended, tuple(episode.wrong))
        self.turns = [*self.turns, asked, *episode.said]

    def _turn(self, episode: Episode, seed: int) -> Iterator[Event]:
        prompt = episode.prompt
        room = min(self._sampling.max_new_tokens, self._context - len(prompt))
        sampling = replace(self._sampling, max_new_tokens=room)
        turn = TurnReader(episode, sampling.stop_strings)
        number = self._engine.add(Request(prompt=prompt, sampling=sampling, seed=seed, remember=True))
        try:
            while self._engine.busy:
                for drawn in self._engine.step():
                    yield from turn.add(drawn)
        finally:
            self._engine.remove(number)
        yield from turn.take()


def run_episodes(
    decoder: Decoder, episodes: Sequence[Episode], sampling: Sampling, seeds: Sequence[int], *, rows: int = 32
) -> list[list[Completion]]:
    """Run episodes to their ends, side by side; of each what was drawn, turn by turn.

    An episode's draws come from its own seed alone: its tokens do
    not depend on the others. Prompts that begin alike are computed once.
    """
    tokenizer = episodes[0].tokenizer
    engine = Engine(decoder, tokenizer=tokenizer, max_rows=rows, cache_bytes=CACHE_BYTES)
    sampling = replace(sampling, stop=tokenizer.stop_ids)
    turns: list[list[Completion]] = [[] for _ in episodes]
    running: dict[int, int] = {}

    def add(place: int) -> None:
        episode = episodes[place]
        room = min(sampling.max_new_tokens, episode.context - len(episode.prompt))
        own = replace(sampling, max_new_tokens=room)
        seed = derived_seed(seeds[place], len(turns[place]))
        running[engine.add(Request(prompt=episode.prompt, sampling=own, seed=seed, remember=True))] = place

    for place in range(len(episodes)):
        add(place)
    while engine.busy:
        for drawn in engine.step():
            if (done := drawn.completion) is None:
                continue
            place = running.pop(drawn.request)
            turns[place].append(done)
            episodes[place].take(done.drawn, finished=done.finish_reason == "stop", text=done.text)
            if episodes[place].ended is None:
                add(place)
    return turns

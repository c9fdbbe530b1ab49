"""Episodes of reinforcement learning: a policy acts with tools on many tasks side by side, token for token.

What it goes on from is exactly what it has drawn, with the tools' results between: so the log-probabilities that are
learned from are those of the very text that was sampled, and a mask tells the two apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.agents.agent import run_episodes
from burnish.agents.episode import Episode
from burnish.agents.tool import ToolBox
from burnish.datasets.rows import Task
from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.generation.request import derived_seed
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Acted
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Acting:
    """Acts with tools. open_box: those of a new episode.

    judged: a tool and an argument of it, as `TOOL.ARGUMENT`: what the last call of it that did not fail was given is
    the text that judges read; of an episode without such a call, an empty one. None: they read what is said at the end.
    """

    tokenizer: Tokenizer
    open_box: Callable[[], ToolBox]
    judged: str | None = None

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """The tools as chat templates read them."""
        return [dict(one) for one in self.open_box().definitions]

    def act(self, policy: Decoder, tasks: Sequence[Task], sampling: Sampling, seed: int) -> list[Acted]:
        """Act once on each task; what is drawn for one is a function of the seed and its place.

        Raises DataError for a task that leaves no room beside the tools, or that the template refuses.
        """
        context = self.tokenizer.context_length or policy.config.max_positions
        episodes = [self._episode(task, context) for task in tasks]
        seeds = [derived_seed(seed, place) for place in range(len(tasks))]
        turns = run_episodes(policy, episodes, sampling, seeds)
        return [self._acted(task, one, drawn) for task, one, drawn in zip(tasks, episodes, turns, strict=True)]

    def _episode(self, task: Task, context: int) -> Episode:
        try:
            return Episode(self.tokenizer, list(task.prompt), self.open_box(), context, exact=True)
        except DataError as error:
            raise DataError(f"{task.source}: {error}" if task.source else str(error)) from error

    def _acted(self, task: Task, episode: Episode, turns: Sequence[Any]) -> Acted:
        n = episode.n_prompt
        calls = [
            {
                "name": hop.call.name,
                "arguments": dict(hop.call.arguments),
                "result": hop.result.text,
                "failed": hop.result.failed,
            }
            for hop in episode.hops
        ]
        logps = [logp for turn in turns for logp in turn.logps]
        answer = Answer(
            prompt=task.prompt,
            text=self._text(episode),
            row=task.row,
            tokens=episode.tokens[n:],
            logp=sum(logps),
            finished=episode.ended == "answer",
            place=task.source,
            calls=calls,
            messages=episode.said,
        )
        return Acted(answer, episode.learned[n:], logps, [logp for turn in turns for logp in turn.sampling_logps])

    def _text(self, episode: Episode) -> str:
        if self.judged is None:
            return episode.answer
        tool, _, argument = self.judged.partition(".")
        given = [
            str(hop.call.arguments[argument])
            for hop in episode.hops
            if hop.call.name == tool and not hop.result.failed and argument in hop.call.arguments
        ]
        return given[-1] if given else ""

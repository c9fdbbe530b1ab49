"""What a policy is asked, and what rewards its answers: the environment of reinforcement learning."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from burnish.datasets.examples import Prompt, task_prompts
from burnish.datasets.rows import MEMORY, Place, Task
from burnish.errors import DataError
from burnish.methods.settings import RolloutSettings, source
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import WeightedJudge
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Environment:
    """Tasks, their prompts as tokens, and the judges of answers to them."""

    tokenizer: Tokenizer
    tasks: Sequence[Task]
    prompts: Sequence[Prompt]
    rewards: Sequence[WeightedJudge]


def environment_of(
    policy: Decoder,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    rewards: Sequence[WeightedJudge],
    settings: RolloutSettings,
    run: Run,
) -> tuple[Environment, int]:
    """The tasks whose prompts leave room for an answer, with these, and how many tasks were dropped.

    Says and writes down what became of each. Raises DataError where none is left.
    """
    # Those of a list in memory are told apart by their number in it.
    tasks = [replace(t, place=Place(t.place.file, n)) if t.place is MEMORY else t for n, t in enumerate(tasks, 1)]
    room = (tokenizer.context_length or policy.config.max_positions) - settings.max_new_tokens
    prompts, report = task_prompts(tasks, tokenizer, max_length=room)
    run.report(report)
    if not prompts:
        raise DataError(
            f"{source(tasks)}: no prompt leaves room for {settings.max_new_tokens} new tokens in the model's context; "
            f"lower max_new_tokens ({settings.max_new_tokens})"
        )
    dropped = {(file, line) for file, line, _ in report.dropped}
    kept = [task for task in tasks if (task.place.file, task.place.line) not in dropped]
    return Environment(tokenizer, kept, prompts, rewards), len(dropped)

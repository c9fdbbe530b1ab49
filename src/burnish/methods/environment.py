"""The environment of reinforcement learning, of tasks: those that leave room for an answer."""

from collections.abc import Sequence
from dataclasses import replace

from burnish.agents.acting import Acting
from burnish.datasets.examples import task_prompts
from burnish.datasets.rows import MEMORY, RowPlace, Task
from burnish.errors import DataError
from burnish.methods.heldout_tasks import HeldOutTasks
from burnish.methods.settings import RolloutSettings, source
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import WeightedJudge
from burnish.runs.names import DATA_REPORT_FILE, HELDOUT_REPORT_FILE
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer


def environment_of(
    policy: Decoder,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    rewards: Sequence[WeightedJudge],
    settings: RolloutSettings,
    run: Run,
    *,
    file: str = DATA_REPORT_FILE,
    acting: Acting | None = None,
) -> tuple[Environment, int]:
    """The tasks whose prompts leave room for an answer, with these, and how many tasks were dropped.

    acting: calls tools, which are then those of all tasks. Says and writes down, in `file`, what became of each. Raises
    DataError where none is left.
    """
    # Those of a list in memory are told apart by their number in it.
    tasks = [replace(t, place=RowPlace(t.place.file, n)) if t.place is MEMORY else t for n, t in enumerate(tasks, 1)]
    if acting is not None:
        tasks = [replace(task, tools=acting.definitions) for task in tasks]
    room = (tokenizer.context_length or policy.config.max_positions) - settings.max_new_tokens
    prompts, report = task_prompts(tasks, tokenizer, max_length=room)
    run.report(report, file)
    if not prompts:
        raise DataError(
            f"{source(tasks)}: no prompt leaves room for {settings.max_new_tokens} new tokens in the model's context; "
            f"lower max_new_tokens ({settings.max_new_tokens})"
        )
    dropped = {(file, line) for file, line, _ in report.dropped}
    kept = [task for task in tasks if (task.place.file, task.place.line) not in dropped]
    return Environment(tokenizer, kept, prompts, rewards, None if acting is None else acting.act), len(dropped)


def heldout_environment(
    policy: Decoder,
    tokenizer: Tokenizer,
    heldout: HeldOutTasks | None,
    settings: RolloutSettings,
    run: Run,
    *,
    acting: Acting | None = None,
) -> Environment | None:
    """The same of tasks that are held out; None where none are."""
    if heldout is None:
        return None
    environment, _ = environment_of(
        policy, tokenizer, heldout.tasks, heldout.judges, settings, run, file=HELDOUT_REPORT_FILE, acting=acting
    )
    return environment

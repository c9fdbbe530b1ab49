"""Our side of the rows that sample: prompts in a given order, answered by exactly so many tokens or as it is given."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.our_training import in_order
from benchmarks.row import Config

if TYPE_CHECKING:
    from burnish.generation.answer import Answer
    from burnish.generation.request import Completion
    from burnish.nn.decoder import Decoder
    from burnish.rewards.environment import Environment
    from burnish.text.tokenizer import Tokenizer

Prompts = Sequence[Sequence[int]]


def sampled_work(tokenizer: "Tokenizer", prompts: Prompts, *, fixed: bool) -> "Environment":
    """What a method is given: rollout r takes the prompts `r * n` to `(r + 1) * n - 1`, and no answer ends early.

    fixed: whether the completions will be given, and so rewarded by `odd_share`, as the peer's are.
    """
    from burnish.datasets.examples import Prompt
    from burnish.datasets.rows import Task
    from burnish.rewards.environment import Environment
    from burnish.rewards.judgement import WeightedJudge

    reward = WeightedJudge("odd", _odd_tokens) if fixed else WeightedJudge("distinct", _distinct_characters)
    return Environment(
        replace(tokenizer, stop_ids=frozenset()),
        [Task([], {})] * len(prompts),
        [Prompt(list(prompt), {}) for prompt in in_order(prompts)],
        [reward],
    )


@contextmanager
def given(prompts: Prompts, fixed: Sequence[Sequence[list[int]]]) -> Iterator[None]:
    """Let rollouts take the `fixed` completions of each of the prompts instead of sampling; none leaves it as it is."""
    from burnish.generation.request import Completion
    from burnish.rewards import sampled_groups

    generate = sampled_groups.generate
    by_prompt = {tuple(prompt): group for prompt, group in zip(prompts, fixed, strict=False)}

    def complete(tokens: list[int]) -> "Completion":
        logps = [0.0] * len(tokens)
        return Completion(tokens, 0.0, "length", logps=logps, sampling_logps=logps)

    def found(_policy: object, asked: Prompts, *_args: Any, **_options: Any) -> "list[list[Completion]]":
        return [[complete(tokens) for tokens in by_prompt[tuple(prompt)]] for prompt in asked]

    if fixed:
        sampled_groups.generate = found
    try:
        yield
    finally:
        sampled_groups.generate = generate


def completions(
    decoder: "Decoder", prompts: Sequence[Sequence[int]], config: Config, *, ragged: bool
) -> list[list[list[int]]]:
    """Completions for both sides to learn from, sampled once; ragged: each a token shorter than the one before."""
    from burnish.generation.engine import generate
    from burnish.generation.sampling import Sampling

    sampling = Sampling(temperature=1.0, max_new_tokens=config["new_tokens"])
    groups = generate(decoder, prompts, sampling, n=config["samples"], seed=0)
    return [[one.tokens[: len(one.tokens) - ragged * i] for i, one in enumerate(group)] for group in groups]


def odd_share(completions: Sequence[Sequence[int]]) -> list[float]:
    """A reward that costs nothing and varies: the share of a completion's tokens whose number is odd."""
    return [sum(token % 2 for token in tokens) / len(tokens) for tokens in completions]


def _odd_tokens(answers: "Sequence[Answer]") -> list[float]:
    return odd_share([answer.tokens for answer in answers])


def _distinct_characters(answers: "Sequence[Answer]") -> list[float]:
    """Another one, of what a reward of Burnish sees: the share of different characters."""
    return [len(set(answer.text)) / max(1, len(answer.text)) for answer in answers]

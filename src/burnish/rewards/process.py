"""Process reward models as judges: each step of an answer has a probability of being right.

Notable choices:
- the answers to one prompt share it, and what they begin alike;
- a step's reward is that of the token which ends it in the answer as it was sampled; the last step's is that of the
  answer's last token, so that the token which ends an answer earns as well.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from burnish.datasets.batches import Batch, micro_batches
from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.nn.process_reward import ProcessRewardModel
from burnish.rewards.judgement import Judge, Judgement
from burnish.text.chat import encode_question
from burnish.text.steps import StepText, encode_steps, split_steps, token_places
from burnish.text.tokenizer import Tokenizer

Aggregation = Literal["min", "product", "last", "mean"]


def aggregated(rewards: Sequence[float], how: Aggregation) -> float:
    """What the steps of an answer are worth together, of at least one.

    `min` and `product` as in Lightman 2023 (arXiv:2305.20050, appendix F): the product is the probability that every
    step is right. `min` is that of Math-Shepherd too; `last` trusts the last step to know of all before it.
    """
    match how:
        case "min":
            return min(rewards)
        case "product":
            return math.prod(rewards)
        case "last":
            return rewards[-1]
        case "mean":
            return sum(rewards) / len(rewards)


def by_process_reward_model(
    model: ProcessRewardModel,
    tokenizer: Tokenizer,
    *,
    step_separator: str | None = None,
    aggregation: Aggregation = "min",
    per_step: bool = True,
    micro_batch_tokens: int = 4096,
) -> Judge:
    """Judge answers by the probability that each of their steps is right; the score is what they come to together.

    step_separator: what steps are split at, the model's own if None. per_step: the rewards of steps are also the
    `token_scores` of answers that have tokens, which have to be of the model's vocabulary: DataError where they are
    not. An answer without a step scores 0.
    """
    separator = model.step_separator if step_separator is None else step_separator

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        split = [split_steps(answer.text, separator) for answer in answers]
        rewards = step_rewards(
            model,
            tokenizer,
            [answer.prompt for answer in answers],
            [[step.text for step in steps] for steps in split],
            step_separator=separator,
            micro_batch_tokens=micro_batch_tokens,
        )
        return [
            Judgement(
                aggregated(of_steps, aggregation) if of_steps else 0.0,
                reason="" if of_steps else "no step",
                token_scores=_at_tokens(tokenizer, answer, steps, of_steps) if per_step and answer.tokens else None,
            )
            for answer, steps, of_steps in zip(answers, split, rewards, strict=True)
        ]

    return judge


def step_rewards(
    model: ProcessRewardModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[Mapping[str, Any]]],
    answers: Sequence[Sequence[str]],
    *,
    step_separator: str,
    micro_batch_tokens: int = 4096,
) -> list[list[float]]:
    """The probability of being right of each step of each answer. answers: the texts of their steps."""
    rewards: list[list[float]] = [[] for _ in answers]
    sequences: dict[int, list[int]] = {}
    masks: dict[int, list[bool]] = {}
    for number, (prompt, steps) in enumerate(zip(prompts, answers, strict=True)):
        if steps:
            asked = _prompt(tokenizer, prompt)
            tokens, ends = encode_steps(tokenizer, steps, step_separator)
            sequences[number] = asked + tokens
            masks[number] = [False] * len(asked) + [place in set(ends) for place in range(len(tokens))]
    numbers = list(sequences)
    model.eval()
    with torch.inference_mode():
        units = [[sequences[number]] for number in numbers]
        for members in micro_batches(units, micro_batch_tokens) if units else ():
            group = [numbers[member] for member in members]
            batch = Batch.from_rows([sequences[i] for i in group], [masks[i] for i in group]).to(model.device)
            found = model(batch.forest, batch.scored).softmax(-1)[batch.entries, 1].cpu()
            for number, part in zip(group, found.split([len(answers[number]) for number in group]), strict=True):
                rewards[number] = part.tolist()
    return rewards


def _prompt(tokenizer: Tokenizer, prompt: Sequence[Mapping[str, Any]]) -> list[int]:
    encoding = encode_question(tokenizer, prompt)  # type: ignore[arg-type]
    if encoding.lost:
        raise DataError(
            f"the chat template of the judging model {tokenizer.source} leaves out the {encoding.lost[0].what} of "
            f"message {encoding.lost[0].place + 1} of a prompt, so it would judge answers to another one"
        )
    return encoding.tokens


def _at_tokens(
    tokenizer: Tokenizer, answer: Answer, steps: Sequence[StepText], rewards: Sequence[float]
) -> list[float | None]:
    """The rewards at the answer's tokens; those of steps that end in one token are added."""
    if not tokenizer.decode(answer.tokens).startswith(answer.text):
        raise DataError(
            f"the tokens of the answer {answer.text[:80]!r} are not of the vocabulary of the process reward model "
            f"{tokenizer.source}, so that its steps' rewards have no tokens; set `per_step: false` to give the score "
            "to the answer as a whole, or train a process reward model from the same base as the policy"
        )
    scores: list[float | None] = [None] * len(answer.tokens)
    places = token_places(tokenizer, answer.tokens, [step.end for step in steps[:-1]])
    for place, reward in zip([*places, len(answer.tokens) - 1], rewards, strict=False):
        scores[place] = reward + (scores[place] or 0.0)
    return scores

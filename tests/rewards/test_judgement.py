"""Rewards by cases: the graded format, the price of length, functions of one sample, and a reward model's scores."""

import math
from functools import partial

import pytest
import torch

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.format import Grade, answer_block, grade_format
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge, each, judge_answers, scores, together
from burnish.rewards.learned import by_reward_model
from burnish.rewards.length import by_length, overlong_punishment
from burnish.rewards.numbers import NumberVerifier


@pytest.mark.parametrize(
    ("completion", "grade"),
    [
        ("<think>2 + 3</think><answer>5</answer>", "full"),
        ("\n<think>\n2 + 3\n</think>\n\n<answer>5</answer>\n", "full"),
        ("<think>2 + 3</think>5", "partial"),
        ("<answer>5</answer>", "partial"),
        ("<think>2 + 3</think><answer>5</answer> as I said", "partial"),
        ("Well. <think>2 + 3</think><answer>5</answer>", "partial"),
        ("<answer>5</answer><think>2 + 3</think>", "partial"),
        ("<think>2 + 3</think><answer></answer>", "partial"),
        ("<think> </think><answer>5</answer>", "partial"),
        ("<think>a<think>b</think></think><answer>5</answer>", "partial"),
        ("<think>a</think><think>b</think>", "none"),
        ("<think>2 + 3", "none"),
        ("</think>2<think>", "none"),
        ("<Think>2</Think>", "none"),
        ("5", "none"),
        ("", "none"),
    ],
)
def test_the_format_is_graded(completion: str, grade: Grade) -> None:
    assert grade_format(completion) == grade


def test_a_thought_that_the_template_opened_need_not_be_opened_again() -> None:
    assert grade_format("2 + 3</think><answer>5</answer>", think_opened=True) == "full"
    assert grade_format("2 + 3</think><answer>5</answer>") == "partial"
    assert grade_format("<think>2 + 3</think><answer>5</answer>", think_opened=True) == "partial"


def test_the_answer_block() -> None:
    assert answer_block("<answer>4</answer> or <answer> 5</answer>") == " 5"
    assert answer_block("<answer>5") == "5"
    assert answer_block("5</answer>") is None


def test_length_costs_from_the_cache_on() -> None:
    """Equation 13 of the DAPO paper, with L_max = 20 and L_cache = 5."""
    found = [overlong_punishment(n, max_length=20, cache=5) for n in (1, 15, 16, 18, 20, 21, 500)]
    assert found == pytest.approx([0, 0, -0.2, -0.6, -1, -1, -1])
    answers = [Answer([], "", tokens=[0] * n) for n in (15, 18)]
    assert [one.score for one in by_length(max_length=20, cache=5)(answers)] == pytest.approx([0, -0.6])


def test_functions_see_prompt_completion_and_row() -> None:
    prompt = [{"role": "user", "content": "2 + 3?"}]
    answers = [Answer(prompt, text, {"answer": "5"}) for text in ("5", "6", "")]
    rewards = [
        WeightedJudge("number", NumberVerifier()),
        WeightedJudge("echo", each(lambda asked, text, row: len(asked[0]["content"]) + len(text) + len(row)), 0.1),
    ]
    assert scores(judge_answers(rewards, answers)) == [[1.0, 0.0, 0.0], [8.0, 8.0, 7.0]]


def test_a_reward_model_scores_each_conversation_at_its_end() -> None:
    from burnish.forest import Forest
    from burnish.nn.config import DecoderConfig
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.text.chat import encode_conversation
    from workshop import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, d_model=24, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=32
    )
    model = ScalarModel(Decoder(config), seed=1)
    prompts = [[{"role": "user", "content": text}] for text in ("What is two and three?", "And four?")]
    answers = [Answer(prompt, text) for prompt in prompts for text in ("five", "", "I cannot say that")]
    found = [one.score for one in by_reward_model(model, tokenizer, micro_batch_tokens=90)(answers)]
    for one, score in zip(answers, found, strict=True):
        answer = {"role": "assistant", "content": one.text}
        tokens, _ = encode_conversation(tokenizer, [*one.prompt, answer])
        assert tokens[-1] not in tokenizer.stop_ids  # ChatML goes on with a newline, and so does what is scored
        sequence = torch.tensor(tokens)
        with torch.no_grad():
            expected = model(Forest(sequence, (len(sequence),), (-1,)), torch.tensor([len(tokens) - 1])).item()
        assert score == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 4) for score in found}) == 6


def test_judges_may_have_nothing_to_say_and_are_added_up_by_weight() -> None:
    answers = [
        Answer([], text, {"kind": kind}, tokens=[1, 2]) for text, kind in (("5", "sum"), ("6", "sum"), ("", "x"))
    ]
    judges = [
        WeightedJudge("right", each(lambda _, text, row: text == "5"), applies=lambda row: row["kind"] == "sum"),
        WeightedJudge("steps", lambda said: [Judgement(1.0, token_scores=[0.5, 0.5]) for _ in said], 2.0),
        WeightedJudge("silent", lambda said: [None if not one.text else 0.25 for one in said], 4.0),
    ]
    judged = judge_answers(judges, answers)
    right, steps, silent = judged
    assert right == [Judgement(1.0, True, "correct"), Judgement(0.0, False, "wrong"), None]
    assert silent == [Judgement(0.25), Judgement(0.25), None]
    assert math.isnan(scores(judged)[0][2])
    found = [together(judges, row) for row in zip(right, steps, silent, strict=True)]
    assert found == [
        Judgement(4.0, True, "correct", token_scores=[1.0, 1.0]),
        Judgement(3.0, False, "wrong", token_scores=[1.0, 1.0]),
        Judgement(2.0, None, token_scores=[1.0, 1.0]),
    ]


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        (lambda _: [], "0 judgements of 1 answers"),
        (lambda _: [math.inf], "inf for the answer 'said'"),
        (lambda _: [Judgement(1.0, token_scores=[1.0, math.nan])], "nan for the answer"),
        (lambda _: [Judgement(1.0, token_scores=[1.0])], "1 token_scores for the 2 tokens of 'said'"),
    ],
)
def test_what_a_judge_returns_is_checked(judge: Judge, problem: str) -> None:
    with pytest.raises(BurnishError, match=problem):
        judge_answers([WeightedJudge("mine", judge)], [Answer([], "said", tokens=[1, 2])])


def test_the_implicit_reward_is_the_log_ratio_of_the_answer_times_beta() -> None:
    from burnish.forest import Forest
    from burnish.nn.config import DecoderConfig
    from burnish.nn.decoder import Decoder
    from burnish.rewards.learned import by_implicit_reward
    from burnish.text.chat import encode_conversation
    from workshop import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, d_model=24, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=32
    )
    torch.manual_seed(3)
    model, reference = Decoder(config), Decoder(config)
    with torch.no_grad():
        for parameter in [*model.parameters(), *reference.parameters()]:
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
    prompt = [{"role": "user", "content": "2 mod 3?"}]
    end = next(iter(tokenizer.stop_ids))
    answers = [Answer(prompt, text, tokens=[*tokenizer.encode(text), end]) for text in ("SELECT 2", "prose")]
    answers.append(Answer(prompt, "prose", tokens=[7]))
    judge = partial(by_implicit_reward, model, reference, tokenizer, beta=0.5, micro_batch_tokens=40)
    whole, found = judge()(answers), judge(per_token=True)(answers)
    assert whole == [Judgement(one.score) for one in found if isinstance(one, Judgement)]
    for one, judgement in zip(answers, found, strict=True):
        assert isinstance(judgement, Judgement)
        tokens, mask = encode_conversation(tokenizer, [*prompt, {"role": "assistant", "content": one.text}])  # type: ignore[list-item]
        scored = torch.tensor(mask).nonzero().squeeze(1)
        sequence = Forest(torch.tensor(tokens), (len(tokens),), (-1,))
        with torch.no_grad():
            ratios = 0.5 * (model.logps(sequence, scored) - reference.logps(sequence, scored))
        assert judgement.score == pytest.approx(ratios.sum().item(), abs=1e-4)
        if list(one.tokens) == [token for token, own in zip(tokens, mask, strict=True) if own]:
            assert judgement.token_scores == pytest.approx(ratios.tolist(), abs=1e-4)
        else:
            assert judgement.token_scores is None
    assert [one.token_scores is None for one in found if isinstance(one, Judgement)] == [False, False, True]

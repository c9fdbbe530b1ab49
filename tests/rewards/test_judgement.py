"""Rewards by cases: the graded format, the price of length, functions of one sample, and a reward model's scores."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.format import Grade, Tags, answer_block, grade_format
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge, each, judge_answers, scores, together
from burnish.rewards.learned import by_reward_model
from burnish.rewards.length import CosineReward, by_length, overlong_punishment
from burnish.rewards.numbers import NumberVerifier
from burnish.rewards.repetition import by_repetition, repeated


@pytest.mark.parametrize(
    ("completion", "grade"),
    [
        ("<think>2 + 3</think><answer>5</answer>", "full"),
        ("\n<think>\n2 + 3\n</think>\n\n<answer>5</answer>\n", "full"),
        ("<think>2 + 3</think><answer>5</answer> as I said", "partial"),
        ("Well. <think>2 + 3</think><answer>5</answer>", "partial"),
        ("<answer>5</answer><think>2 + 3</think>", "partial"),
        ("<think>2 + 3</think><answer></answer>", "partial"),
        ("<think> </think><answer>5</answer>", "partial"),
        ("<think>a</think><think>b</think><answer>5</answer>", "partial"),
        ("<answer>5</answer>\n<answer>6</answer><think>b</think>", "partial"),
        ("<think>a<think>b</think></think><answer>5</answer>", "none"),
        ("<think>a<answer>5</answer></think>", "none"),
        ("<think>a<answer>5</think></answer>", "none"),
        ("<think>a</think><answer>5", "none"),
        ("a</think><answer>5</answer>", "none"),
        ("<think>2 + 3</think>5", "none"),
        ("<answer>5</answer>", "none"),
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
    assert grade_format("2 + 3</think><answer>5</answer>") == "none"
    assert grade_format("<think>2 + 3</think><answer>5</answer>", think_opened=True) == "none"


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "so", " "]), max_size=8))
def test_only_blocks_side_by_side_pass_the_basic_check(parts: list[str]) -> None:
    """Against a walk over the parts that keeps what is open."""
    text, opened, closed = "".join(parts), "", []
    well = True
    for part in parts:
        if part in ("<think>", "<answer>"):
            well, opened = well and not opened, part
        elif part.startswith("</"):
            well = well and opened == part.replace("/", "")
            closed.append(opened)
            opened = ""
    passes = well and not opened and set(closed) == {"<think>", "<answer>"}
    assert (grade_format(text) != "none") == passes


def test_tags_may_be_others() -> None:
    tags = Tags(("|t|", "|/t|"), ("<s>", "</s>"))
    assert grade_format("|t|2 + 3|/t|<s>5</s>", tags=tags) == "full"
    assert grade_format("2 + 3|/t|<s>5</s>", tags=tags, think_opened=True) == "full"
    assert grade_format("<think>2 + 3</think><answer>5</answer>", tags=tags) == "none"
    assert (tags.final_answer("|t|<s>4</s>|/t| <s>5</s>"), tags.thoughts("|t|a|/t|b|t|c")) == ("5", "a\nc")
    assert (tags.thoughts("a|/t|b"), tags.thoughts("b")) == ("a", None)


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


def test_the_cosine_reward_goes_from_one_end_to_the_other() -> None:
    """Against the formula as Yeo 2025 writes it, CosFn(t, T, η_min, η_max), with η_max at t = 0."""
    reward = CosineReward(
        judge=each(lambda _, text, row: text == "5"), max_length=8, correct=(2, 1), wrong=(-10, 0), exceeded=-9
    )
    for text, (first, last) in {"5": (2, 1), "6": (-10, 0)}.items():
        for n in range(9):
            (found,) = reward([Answer([], text, tokens=[0] * n)])
            assert found is not None
            assert found.correct is (text == "5")
            assert found.score == pytest.approx(last + 0.5 * (first - last) * (1 + math.cos(n * math.pi / 8)))
    cut = [Answer([], "5", tokens=[0] * 9), Answer([], "5", tokens=[0] * 3, finished=False)]
    assert [one and (one.score, one.correct, one.reason) for one in reward(cut)] == [(-9, True, "too long")] * 2
    (silent,) = CosineReward(judge=lambda _: [None], max_length=8)([Answer([], "5")])
    assert silent is None
    with pytest.raises(BurnishError, match="neither right nor wrong; let it return True or False"):
        CosineReward(judge=lambda _: [0.5], max_length=8)([Answer([], "5")])


@given(st.lists(st.integers(0, 2), max_size=12), st.integers(1, 4))
def test_repeated_ngrams_are_marked(tokens: list[int], n: int) -> None:
    """Against the definition: an n-gram that begins earlier too."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    again = [i for i, gram in enumerate(grams) if gram in grams[:i]]
    marked = [any(i <= place < i + n for i in again) for place in range(len(tokens))]
    assert repeated(tokens, n) == (marked, len(again))
    answer = Answer([], "", tokens=tokens)
    (by_token,) = by_repetition(n=n, penalty=-0.5, by_token=True)([answer])
    (whole,) = by_repetition(n=n, penalty=-0.5, by_token=False)([answer])
    assert isinstance(by_token, Judgement)
    assert isinstance(whole, Judgement)
    assert by_token.token_scores == [-0.5 if one else 0.0 for one in marked]
    assert by_token.score == sum(by_token.token_scores)
    assert whole.score == pytest.approx(-0.5 * len(again) / max(1, len(grams)))


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
        (lambda _: [Judgement(1.0, token_scores=[1.0])], "1 token_scores for the 2 tokens of the answer 'said'"),
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

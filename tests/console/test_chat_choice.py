"""`burnish chat --votes N --choose best`: the answer that a judge scores highest; what that needs is said."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from burnish.console.chat import ChatOptions, Target, hold_chat
from burnish.errors import BurnishError
from burnish.recipes.schema.recipe import ChatConfig
from burnish.recipes.schema.stage import StageContext
from workshop import make_workshop

LENGTH = {"type": "length", "max_length": 10, "cache": 8}
NUMBERS = {"type": "numbers"}


def said(folder: Path, judges: list[dict[str, object]], **options: object) -> str:
    model = make_workshop(folder).parent / "model"
    context = StageContext(
        folder=folder / "chat", device="cpu", compute_dtype="float32", inputs={}, input_keys={}, recipe_folder=folder
    )
    config = ChatConfig.model_validate({"judges": judges, "max_new_tokens": 12})
    output = io.StringIO()
    console = Console(file=output, width=200)
    target = Target(model, config=config, device="cpu", compute_dtype="float32", context=context)
    hold_chat(target, ["2 mod 3?"], console, ChatOptions(votes=5, temperature=3.0, seed=1, **options))  # type: ignore[arg-type]
    return output.getvalue()


def test_the_answer_of_the_highest_score_is_given(tmp_path: Path) -> None:
    assert said(tmp_path, [LENGTH], choose="best").startswith("score ")
    both = said(tmp_path, [NUMBERS, {"type": "format"}], choose="weighted_votes").splitlines()[0]
    assert both.startswith("score 0, ")
    assert both.endswith("of 5 answers agree:")


@pytest.mark.parametrize(
    ("judges", "choose", "message"),
    [
        ([NUMBERS], "best", "--choose best: needs a judge that scores answers"),
        ([LENGTH], "weighted_votes", "--votes: needs a judge that tells which answers come to the same"),
        ([LENGTH], "votes", "--votes: needs a judge that tells which answers come to the same"),
    ],
)
def test_a_choice_without_its_judge_is_refused(
    tmp_path: Path, judges: list[dict[str, object]], choose: str, message: str
) -> None:
    with pytest.raises(BurnishError, match=message):
        said(tmp_path, judges, choose=choose)


def test_a_choice_is_of_several() -> None:
    with pytest.raises(BurnishError, match="--choose best: of several answers; add --votes"):
        ChatOptions(choose="best")

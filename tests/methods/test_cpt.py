"""Continued pre-training says what it is asked to do in vain."""

from pathlib import Path

import pytest

from burnish.console.display import Display
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: context"
    + SAME_BITS
    + """
stages:
  - {type: corpus, documents: [documents], window: 512, heldout: 0}
  - {type: cpt, corpus: "@corpus", training: {epochs: 1, batch_size: 1, micro_batch_tokens: 512}}
"""
)


@pytest.mark.parametrize(("window", "said"), [(512, True), (256, False)])
def test_windows_beyond_the_models_context_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], window: int, said: bool
) -> None:
    recipe = make_workshop(tmp_path / "workshop", RECIPE)
    (recipe.parent / "documents").mkdir()
    (recipe.parent / "documents" / "page.md").write_text("\n\n".join(f"SELECT {n} of a part" for n in range(60)))
    run(recipe, runs=recipe.parent / "runs", overrides=[f"corpus.window={window}"], display=Display())
    shown = " ".join(capsys.readouterr().out.split())
    assert ("longer than the model's context of 256" in shown) is said
    assert ("the corpus stage's `window: 256` cuts them" in shown) is said

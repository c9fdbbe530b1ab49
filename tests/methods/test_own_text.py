"""What a model writes for itself to be replayed, and the pull of weights to where they started."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burnish.corpus.mix import GENERAL
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import pack
from burnish.errors import DataError
from burnish.methods import cpt
from burnish.methods.own_text import MIN_TOKENS, opening_of_a_question, with_own_text
from burnish.nn.decoder import Decoder
from burnish.objectives.language_model import language_model
from burnish.runs.run import Run
from burnish.text.chat import encode_prompt
from burnish.text.tokenizer import Tokenizer
from burnish.text.tokenizer_training import train_tokenizer
from burnish.training.config import TrainingConfig
from burnish.training.loop import Pull, train
from tiny_models import tiny_decoder

WINDOW = 48


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["a question and an answer " * 4], vocab_size=280)


@pytest.fixture
def decoder(tokenizer: Tokenizer) -> Decoder:
    return tiny_decoder(vocab_size=tokenizer.vocab_size).eval()


@pytest.fixture
def corpus(tokenizer: Tokenizer) -> TokenCorpus:
    rng = np.random.default_rng(0)
    train, heldout = (pack([rng.integers(0, 200, 40) for _ in range(count)], WINDOW) for count in (12, 2))
    return TokenCorpus(WINDOW, tokenizer.vocab_size, {"domain": train}, {"domain": heldout})


def test_a_model_writes_what_it_replays_once(
    corpus: TokenCorpus, decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run = Run(tmp_path, seed=3, key="k")
    written = with_own_text(corpus, decoder, tokenizer, "own_text", 500, run)
    windows = written.train[GENERAL]
    assert windows.n_tokens >= 500
    assert all(MIN_TOKENS <= length <= WINDOW for length in windows.lengths)
    assert written.train["domain"] is corpus.train["domain"]
    # Interrupted and gone on with, also by a model that has changed meanwhile: the same text.
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(1.0)
    again = with_own_text(corpus, decoder, tokenizer, "own_text", 500, run)
    assert again.digest() == written.digest()


def test_a_model_asks_itself_behind_the_opening_of_a_turn(decoder: Decoder, tokenizer: Tokenizer) -> None:
    opening = opening_of_a_question(tokenizer)
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "Why?"}])
    assert prompt[: len(opening)] == opening
    assert tokenizer.decode(prompt[len(opening) :], skip_special=False).startswith("Why?")
    with pytest.raises(DataError, match="has no chat template; set replay_from: own_text"):
        opening_of_a_question(replace(tokenizer, chat_template=None))


def test_questions_and_answers_are_whole_conversations(
    corpus: TokenCorpus, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder = tiny_decoder(vocab_size=tokenizer.vocab_size, logits_bias=True, tie_embeddings=False).eval()
    assert decoder.logits_bias is not None
    decoder.logits_bias[sorted(tokenizer.stop_ids)] = 2.5  # or it would hardly ever end a turn
    wide = replace(corpus, window=96)
    written = with_own_text(wide, decoder, tokenizer, "own_chats", 60, Run(tmp_path, key="k"))
    windows = written.train[GENERAL]
    opening = opening_of_a_question(tokenizer)
    assert len(windows) > 0
    for number in range(len(windows)):
        tokens = windows[number]
        assert tokens[: len(opening)] == opening
        assert tokens[-1] in tokenizer.stop_ids
        text = tokenizer.decode(tokens, skip_special=False)
        assert text.count("<|im_start|>") >= 2
        assert "<|im_start|>assistant" in text


def test_training_replays_what_the_model_wrote(
    corpus: TokenCorpus, decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    settings = cpt.Settings.model_validate({"replay": 0.5, "replay_from": "own_text"})
    run = Run(tmp_path, key="k")
    replayed = cpt.with_replay(corpus, decoder, tokenizer, settings, run)
    assert cpt.own_text_tokens(corpus, settings) == corpus.train["domain"].n_tokens
    _, passes = cpt.planned(replayed, settings, run)
    assert passes["domain"] == 1
    assert 0.5 < passes[GENERAL] <= 1
    assert cpt.with_replay(corpus, decoder, tokenizer, cpt.Settings.model_validate({}), run) is corpus


def test_the_pull_is_that_of_the_penalty() -> None:
    layer = torch.nn.Linear(3, 2)
    pull = Pull(layer, 10.0)
    start = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1.0)
    pull(0.02)
    assert torch.allclose(layer.weight, start + 0.8, atol=1e-6)


def test_a_pulled_model_stays_nearer_to_where_it_started_also_when_it_was_interrupted(
    corpus: TokenCorpus, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    def moved(folder: Path, strength: float, stop_after: int | None = None) -> float:
        decoder = tiny_decoder(vocab_size=tokenizer.vocab_size)
        start = [parameter.detach().clone() for parameter in decoder.parameters()]
        config = {"learning_rate": 1e-2, "batch_size": 2, "schedule": "constant", "pull_to_start": strength}
        config |= {"checkpoint_seconds": 1e9 if stop_after is None else 0.0}
        training = TrainingConfig.model_validate(config)
        settings = cpt.Settings.model_validate({"replay": 0.0, "training": config})
        steps, _ = cpt.planned(corpus, settings, Run(folder, key="k"))

        def interrupt(progress: object) -> None:
            if stop_after is not None and progress.step == stop_after:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        options = {"folder": folder, "seed": 0, "identity": "k"}
        try:
            train(decoder, language_model, steps, training, on_progress=interrupt, **options)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            again = tiny_decoder(vocab_size=tokenizer.vocab_size)
            train(again, language_model, steps, training, **options)  # type: ignore[arg-type]
            decoder = again
        return sum(float((p.detach() - s).pow(2).sum()) for p, s in zip(decoder.parameters(), start, strict=True))

    free, pulled = moved(tmp_path / "free", 0.0), moved(tmp_path / "pulled", 20.0)
    assert pulled < 0.7 * free
    assert moved(tmp_path / "stopped", 20.0, stop_after=3) == pulled

"""Answers to tasks and of rollouts end before a stop string, and count as finished."""

from dataclasses import replace
from pathlib import Path

from burnish.datasets.rows import Task
from burnish.generation.answer import Answer
from burnish.generation.sampling import Sampling
from burnish.methods.answering import sample
from burnish.methods.environment import environment_of
from burnish.methods.grpo import Settings
from burnish.methods.rollouts import Rollouts
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import WeightedJudge, each
from burnish.rewards.sampled_groups import RolloutConfig
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from tiny_models import TINY
from workshop import tiny_tokenizer

TASKS = [Task([{"role": "user", "content": f"{i} mod 3?"}], {}) for i in range(3)]


def writer() -> tuple[Decoder, Tokenizer]:
    tokenizer = tiny_tokenizer()
    decoder = Decoder(replace(TINY, vocab_size=tokenizer.vocab_size))
    decoder.embedding.weight.data.mul_(5)
    return decoder, tokenizer


def test_answers_are_cut_before_a_stop_string(tmp_path: Path) -> None:
    (decoder, tokenizer), tasks = writer(), TASKS
    sampling = Sampling(temperature=0, repetition_penalty=1e6, max_new_tokens=24)

    def answers(name: str, **options: object) -> list[Answer]:
        run, chosen = Run(tmp_path / name), replace(sampling, **options)
        return [one for (one,) in sample(run, "label", lambda: (decoder, tokenizer), tasks, chosen)]

    whole = answers("whole")
    stop = next(character for character in whole[0].text[2:] if character != "\ufffd")
    found = answers("cut", stop_strings=(stop,))
    for one, uncut in zip(found, whole, strict=True):
        assert one.text == uncut.text.partition(stop)[0]
        assert one.finished == (stop in uncut.text or uncut.finished)
    assert len(found[0].text) < len(whole[0].text)
    assert stop in tokenizer.decode(found[0].tokens)


def test_answers_of_rollouts_are_judged_cut_and_learned_from_whole(tmp_path: Path) -> None:
    decoder, tokenizer = writer()
    judged: list[str] = []

    def reward(_prompt: object, text: str, _row: object) -> float:
        judged.append(text)
        return float(len(text))

    settings = Settings(num_generations=8, max_new_tokens=12, stop=["a", "e", "1"])
    environment, _ = environment_of(
        decoder, tokenizer, TASKS, [WeightedJudge("length", each(reward))], settings, Run(tmp_path)
    )
    config = RolloutConfig(sampling=settings.sampling(), prompts=3, num_generations=8)
    rollout = Rollouts(decoder, environment, config, Run(tmp_path))[0]
    stopped = 0
    for text, answer, finished in zip(judged, rollout.answers, rollout.finished.tolist(), strict=True):
        whole = tokenizer.decode(answer)
        places = [whole.find(stop) for stop in settings.stop if stop in whole]
        assert text == (whole[: min(places)] if places else whole)
        assert finished == (bool(places) or answer[-1] in tokenizer.stop_ids)
        stopped += bool(places)
    assert stopped > 2

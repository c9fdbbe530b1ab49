"""Answers to tasks end before a stop string, and count as finished."""

from dataclasses import replace
from pathlib import Path

from burnish.datasets.rows import Task
from burnish.generation.answer import Answer
from burnish.generation.sampling import Sampling
from burnish.methods.answering import sample
from burnish.nn.decoder import Decoder
from burnish.runs.run import Run
from tiny_models import TINY
from workshop import tiny_tokenizer


def test_answers_are_cut_before_a_stop_string(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    decoder = Decoder(replace(TINY, vocab_size=tokenizer.vocab_size))
    decoder.embedding.weight.data.mul_(5)
    tasks = [Task([{"role": "user", "content": f"{i} mod 3?"}], {}) for i in range(3)]
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

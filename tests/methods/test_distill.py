"""Distillation: the divergence on every kind of answer is the naive one, and a student learns from every teacher."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.datasets.rows import Conversation, Task
from burnish.datasets.taught import TaughtExample, taught_examples
from burnish.errors import BurnishError, DataError
from burnish.forest import Forest
from burnish.methods import distill
from burnish.methods.distill_steps import DistillSteps, batches_of, divergences_of, given_batches
from burnish.methods.teachers import StoredTeacher, Teacher, TeacherSource
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.top_tokens import top_tokens
from burnish.objectives.distillation import generalized_jsd
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.events import read_events
from tiny_models import TINY, tiny_decoder
from workshop import make_workshop, tiny_tokenizer

NOTHING = Task([{"role": "user", "content": "?"}], {})
EXAMPLES = [
    TaughtExample(NOTHING, list(range(20)), [30, 31, 32], [*range(40, 45), *range(20)]),
    TaughtExample(NOTHING, list(range(20)), [30, 31, 33, 34], [*range(40, 45), *range(20)]),
    TaughtExample(NOTHING, [5, 6, 7], [36, 37], [*range(40, 45), 5, 6, 7]),
]
PLAIN = [replace(one, teacher_prompt=None) for one in EXAMPLES]
TEACHER = replace(TINY, vocab_size=64, d_model=32, n_layers=1)  # wider, and of an output layer with unused rows


def log_probabilities(decoder: Decoder, prompt: list[int], answer: list[int], temperature: float) -> torch.Tensor:
    """Of the answer's next-token distributions over the shared vocabulary, by a plain sequence."""
    sequence = torch.tensor(prompt + answer)
    logits = decoder.logits(decoder(Forest(sequence, (len(sequence),), (-1,))))[len(prompt) - 1 : -1]
    return (logits[:, :50] / temperature).log_softmax(-1)


def teacher_decoder() -> Decoder:
    decoder = Decoder(TEACHER)
    decoder.initialize(seed=3)
    for name, parameter in decoder.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(5)
    return decoder


def settings(**changes: Any) -> distill.Settings:
    return distill.Settings.model_validate({"lmbda": 0, "training": {"micro_batch_tokens": 40}} | changes)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("examples", "temperature"), [(PLAIN, 1.0), (EXAMPLES, 2.0)], ids=["plain", "own-prompt"])
def test_divergences_of_a_batch_are_the_naive_ones(
    beta: float, examples: list[TaughtExample], temperature: float
) -> None:
    student, own = tiny_decoder(0, 5), teacher_decoder()
    chosen = settings(beta=beta, temperature=temperature)
    found: dict[tuple[int, ...], torch.Tensor] = {}
    total = torch.zeros(())
    for batch in batches_of(examples, 40):
        outputs = divergences_of(student, Teacher(student, own), chosen, batch)
        total = total + outputs.values.sum()
        for row, part in enumerate(outputs.values.split(batch.row_lengths.tolist())):
            tokens = batch.forest.tokens[batch.scored[batch.entries[batch.rows == row]]]
            found[tuple(tokens.tolist())] = part
    expected = {}
    for one in examples:
        log_p = log_probabilities(student, one.prompt, one.answer, temperature)
        log_q = log_probabilities(own, one.seen_by_teacher, one.answer, temperature).detach()
        expected[tuple(one.answer)] = generalized_jsd(log_p, log_q, beta=beta)
    assert found.keys() == expected.keys()
    for answer, values in expected.items():
        torch.testing.assert_close(found[answer], values, rtol=1e-4, atol=1e-5)
    naive = torch.autograd.grad(torch.cat(list(expected.values())).sum(), list(student.parameters()))
    for ours, theirs in zip(torch.autograd.grad(total, list(student.parameters())), naive, strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm() + 1e-6


def test_the_base_of_the_adapters_is_a_teacher() -> None:
    student, base = tiny_decoder(0, 5), tiny_decoder(0, 5)
    add_lora(student, LoraConfig(rank=2, dropout=0.5), seed=0)
    for name, parameter in student.named_parameters():
        if "lora_b" in name:
            parameter.data.normal_()
    student.train()
    batch, chosen = batches_of(EXAMPLES, 1000)[0], settings(beta=0.0)
    torch.manual_seed(0)
    found = divergences_of(student, Teacher(student), chosen, batch).values
    assert student.training
    torch.manual_seed(0)
    expected = divergences_of(student, Teacher(student, base), chosen, batch).values
    torch.testing.assert_close(found, expected)
    assert found.mean() > 0.01


def stored(run: Run, load: Callable[[], Any], student: Decoder, key: str = "", top_k: int = 4) -> StoredTeacher:
    source = TeacherSource(load, tiny_tokenizer(), key)
    return StoredTeacher(run, source, student, EXAMPLES, top_k=top_k, temperature=2.0, micro_batch_tokens=40)


def never() -> Any:
    raise AssertionError("the teacher is loaded although all that it says is stored")


def test_a_stored_teacher_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.methods.teachers.SHARD", 2)
    student, own, run = tiny_decoder(0, 5), teacher_decoder(), Run(tmp_path / "run" / "distill")
    first = stored(run, lambda: (own, tiny_tokenizer()), student, "weights")
    again = stored(run, never, student, "weights")
    shards = sorted((tmp_path / "run" / "cache" / "teacher_top_k").iterdir())
    assert len(shards) == 2
    for numbers in ([0, 1, 2], [2, 0]):
        columns, same = first.columns(numbers), again.columns(numbers)
        expected = [
            log_probabilities(own, EXAMPLES[n].seen_by_teacher, EXAMPLES[n].answer, 2.0).topk(4) for n in numbers
        ]
        assert torch.equal(columns["teacher_ids"], torch.cat([one.indices for one in expected]))
        torch.testing.assert_close(
            columns["teacher_logps"][:, :-1], torch.cat([one.values for one in expected]), rtol=1e-4, atol=1e-5
        )
        assert all(torch.equal(columns[name], same[name]) for name in columns)
    shards[0].write_bytes(shards[0].read_bytes()[:-1])
    repaired = stored(run, lambda: (own, tiny_tokenizer()), student, "weights")
    assert "computed again" in run.notices[0]
    assert torch.equal(repaired.columns([0, 1, 2])["teacher_logps"], first.columns([0, 1, 2])["teacher_logps"])


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_a_stored_teacher_compares_its_tokens_and_the_rest(tmp_path: Path, beta: float) -> None:
    student, own = tiny_decoder(0, 5), teacher_decoder()
    kept = stored(Run(tmp_path / "run" / "distill"), lambda: (own, tiny_tokenizer()), student)
    chosen = settings(beta=beta, temperature=2.0, teacher_top_k=4)
    (batch,) = given_batches(EXAMPLES, kept, settings(training={}), [0, 1, 2])
    found = divergences_of(student, kept, chosen, batch)
    (whole,) = batches_of(EXAMPLES, 1000)
    with torch.no_grad():
        predictions = student.predictions(batch.forest, batch.scored).at(batch.entries)
        full = divergences_of(student, Teacher(student, own), chosen, whole)
    torch.testing.assert_close(found.entropies, full.entropies)
    assert (found.values <= full.values + 1e-5).all()
    everything = top_tokens(predictions, 49, temperature=2.0)
    assert everything.logps.shape == (9, 50)
    assert torch.autograd.grad(found.values.sum(), list(student.parameters()))[0].norm() > 0


def said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


ROWS = [Conversation([*said("user", f"{i} mod 3?"), *said("assistant", f"SELECT {i % 3}")]) for i in range(12)]
PROMPTS = [Task(row.messages[:-1], {}) for row in ROWS]
TRAINING = {"learning_rate": 5e-3, "batch_size": 4, "epochs": 4, "micro_batch_tokens": 120}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workshop(tmp_path_factory.mktemp("workshop")).parent / "model"


def loaded(folder: Path) -> tuple[Decoder, Tokenizer]:
    return burnish.load(folder, compute_dtype="float32", device="cpu")


def taught(folder: Path) -> tuple[Decoder, Tokenizer]:
    """A teacher of the same family with weights of its own."""
    decoder, tokenizer = loaded(folder)
    generator = torch.Generator().manual_seed(9)
    for parameter in decoder.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return decoder, tokenizer


LEARNED: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "stored": ({"beta": 0.0, "lmbda": 0, "heldout": 3, "teacher_top_k": 8, "temperature": 2.0}, ROWS),
    "sampled": ({"beta": 1.0, "seq_kd": True, "max_new_tokens": 6, "num_generations": 2}, PROMPTS),
    "base": ({"heldout": 3, "max_new_tokens": 6, "teacher_system": "prose", "lora": {"rank": 4}}, ROWS),
}
"""Every kind of teacher and of answers, by what a student learns from."""


@pytest.mark.parametrize("name", LEARNED)
def test_a_student_comes_nearer(name: str, folder: Path, tmp_path: Path) -> None:
    options, rows = LEARNED[name]
    model, tokenizer = loaded(folder)
    run = Run(tmp_path / "run" / "distill", seed=1)
    teacher = None if name == "base" else (lambda: taught(folder))
    chosen = distill.Settings.model_validate(options | {"training": TRAINING})
    measured = distill.train(model, tokenizer, teacher, rows, chosen, run)
    events = read_events(run.folder)
    assert len(events) == measured["steps"] >= 9
    if chosen.heldout:
        assert measured["heldout"]["after"]["loss"] < 0.8 * measured["heldout"]["before"]["loss"]
    else:
        assert sum(one["loss"] for one in events[-3:]) < 0.8 * sum(one["loss"] for one in events[:3])
    on_policy = sum(one["on_policy"] for one in events)
    assert (0 < on_policy < len(events)) == (chosen.lmbda == 0.5)
    sampled = [one for one in events if "completions/mean_length" in one]
    assert len(sampled) == (len(events) if chosen.seq_kd else on_policy)
    assert all(0 < one["completions/max_length"] <= 6 for one in sampled)
    assert all(one["entropy"] > 0 for one in events)
    assert burnish.load(run.folder / "model", compute_dtype="float32", device="cpu")


def test_whose_answers_a_step_learns_from(folder: Path, tmp_path: Path) -> None:
    """A rollout's prompts are those of the step, behind them the answers of whom the step names."""
    model, tokenizer = loaded(folder)
    own, _ = taught(folder)
    chosen = distill.Settings.model_validate(
        {"lmbda": 0.5, "seq_kd": True, "max_new_tokens": 5, "num_generations": 2, "training": TRAINING}
    )
    examples, _ = distill.encode(PROMPTS, tokenizer, chosen)
    run = Run(tmp_path / "run" / "distill", seed=1)
    steps = DistillSteps.of(model, tokenizer, Teacher(model, own), examples, chosen, run)
    assert {steps.on_policy(step) for step in range(len(steps))} == {True, False}
    for step in range(4):
        rows = [
            batch.forest.tokens[batch.forest.path(end)].tolist()
            for batch in steps[step]
            for end in range(batch.forest.n_segments)
            if end not in batch.forest.parents
        ]
        source = steps.own if steps.on_policy(step) else steps.taught
        assert sorted(rows) == sorted(source[step].sequence(number) for number in range(8))
        assert source[step].tasks == steps.plan[step]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lmbda": 0.5, "teacher_top_k": 4}, r"teacher_top_k: got 4; what is stored is about answers that are given"),
        ({"lmbda": 1, "seq_kd": True}, r"seq_kd: got true with `lmbda: 1`"),
        ({"lmbda": 1, "heldout": 2}, r"heldout: got 2; only answers of the data can be held out"),
        ({"lmbda": 0, "max_new_tokens": 9}, r"max_new_tokens: got 9; nothing is sampled"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    options: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BurnishError, match=message):
        distill.train(
            *loaded(folder), lambda: taught(folder), ROWS, distill.Settings.model_validate(options), Run(tmp_path / "d")
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, r"teacher: is missing; name a model"), ({"lora": {}}, r"teacher_system: is missing")],
)
def test_a_student_that_would_teach_itself_nothing_is_refused(
    options: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BurnishError, match=message):
        distill.train(*loaded(folder), None, ROWS, distill.Settings.model_validate(options), Run(tmp_path / "d"))


def test_a_teacher_that_is_the_student_is_refused(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = loaded(folder)
    chosen = distill.Settings.model_validate({"lmbda": 0})
    with pytest.raises(BurnishError, match="teacher: it is the very model that is trained"):
        distill.train(model, tokenizer, lambda: (model, tokenizer), ROWS, chosen, Run(tmp_path / "d"))


def test_another_vocabulary_is_refused_by_its_first_token(folder: Path, tmp_path: Path) -> None:
    """Of the same size: nothing but the tokens' texts tells."""

    def foreign() -> tuple[Decoder, Tokenizer]:
        decoder, tokenizer = taught(folder)
        file = tmp_path / "tokenizer.json"
        tokenizer.backend.save(str(file))
        text = file.read_text().replace('"Z"', '"Ω"')
        backend = type(tokenizer.backend).from_str(text)
        return decoder, replace(tokenizer, backend=backend, source="foreign")

    model, tokenizer = loaded(folder)
    number = tokenizer.backend.token_to_id("Z")
    assert number is not None
    chosen = distill.Settings.model_validate({"lmbda": 0})
    with pytest.raises(BurnishError, match=rf"teacher: its vocabulary .* token {number} is 'Z' in .* 'Ω' in"):
        distill.train(model, tokenizer, foreign, ROWS, chosen, Run(tmp_path / "d"))


def test_rows_become_prompts_with_their_last_answer() -> None:
    tokenizer = tiny_tokenizer()
    turns = [*said("system", "Answer in SQL."), *said("user", "1"), *said("assistant", "2"), *said("user", "3")]
    rows = [
        Conversation([*turns, *said("assistant", "SELECT 4")]),
        Task(turns, {}),
        Task(said("user", "long " * 20), {}),
    ]
    examples, report = taught_examples(rows, tokenizer, max_length=90, room=10, teacher_system="prose")
    asked, alone = examples
    assert "leaves no room for 10 new ones in 90" in report.dropped[0][2]
    assert asked.prompt == alone.prompt
    assert (tokenizer.decode(asked.answer), alone.answer) == ("SELECT 4", [])
    text = tokenizer.decode(asked.seen_by_teacher, skip_special=False)
    assert text == tokenizer.decode(asked.prompt, skip_special=False).replace("Answer in SQL.", "prose")


def test_no_room_is_refused(folder: Path, tmp_path: Path) -> None:
    chosen = distill.Settings.model_validate({"lmbda": 1, "max_new_tokens": 250})
    with pytest.raises(DataError, match="no usable row"):
        distill.train(*loaded(folder), lambda: taught(folder), PROMPTS, chosen, Run(tmp_path / "d"))

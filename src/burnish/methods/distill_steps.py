"""The steps of a distillation: whose answers each learns from, and how far the student is from its teacher on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from burnish.datasets.batches import Batch, micro_batches, shuffled_steps
from burnish.datasets.examples import Prompt
from burnish.datasets.taught import TaughtBatch, TaughtExample
from burnish.generation.sampling import Sampling
from burnish.methods.distill import Settings
from burnish.methods.rollouts import Rollouts
from burnish.methods.teachers import IDS, LOGPS, StoredTeacher, Teacher
from burnish.nn.decoder import Decoder
from burnish.nn.divergence import Divergences, divergences
from burnish.nn.top_tokens import at_tokens
from burnish.objectives.distillation import Distillation, generalized_jsd
from burnish.objectives.objective import measure
from burnish.rewards.environment import Environment
from burnish.rewards.sampled_groups import RolloutConfig
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class DistillSteps:
    """The micro-batches of each step; asked for in order, with the student as the steps before left it.

    own, taught: answers that the student and the teacher write, one rollout a step, to the prompts of the step.
    """

    plan: Sequence[Sequence[int]]
    examples: Sequence[TaughtExample]
    teacher: Teacher | StoredTeacher
    settings: Settings
    seed: int
    own: Rollouts
    taught: Rollouts

    @classmethod
    def of(
        cls,
        model: Decoder,
        tokenizer: Tokenizer,
        teacher: Teacher | StoredTeacher,
        examples: Sequence[TaughtExample],
        settings: Settings,
        run: Run,
    ) -> "DistillSteps":
        """The steps of a training: every epoch is a new permutation of the examples."""
        training = settings.training
        plan = shuffled_steps(len(examples), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed)
        config = RolloutConfig(
            sampling=Sampling(temperature=settings.sampling_temperature, max_new_tokens=settings.max_new_tokens),
            prompts=training.batch_size,
            num_generations=settings.num_generations,
            micro_batch_tokens=training.micro_batch_tokens,
        )
        tasks = [example.task for example in examples]

        def written_by(policy: Decoder, prompts: Sequence[list[int]]) -> Rollouts:
            asked = [Prompt(prompt, task.row) for prompt, task in zip(prompts, tasks, strict=True)]
            return Rollouts(policy, Environment(tokenizer, tasks, asked, []), config, run)

        own = written_by(model, [example.prompt for example in examples])
        writer = model if isinstance(teacher, StoredTeacher) or teacher.own is None else teacher.own
        taught = written_by(writer, [example.seen_by_teacher for example in examples])
        return cls(plan, examples, teacher, settings, run.seed, own, taught)

    def __len__(self) -> int:
        return len(self.plan)

    def on_policy(self, step: int) -> bool:
        """Whether a step learns from the student's own answers: a function of (seed, step)."""
        return bool(np.random.default_rng([self.seed, step, 1]).random() < self.settings.lmbda)

    def __getitem__(self, step: int) -> list[Batch]:
        if self.on_policy(step):
            return self._sampled(self.own, step)
        if not self.settings.seq_kd:
            return given_batches(self.examples, self.teacher, self.settings, self.plan[step])
        assert isinstance(self.teacher, Teacher)
        with self.teacher.decoder():  # without the adapters, where the teacher is the student's own base
            return self._sampled(self.taught, step)

    def _sampled(self, rollouts: Rollouts, step: int) -> list[Batch]:
        rollout = rollouts[step]
        asked = [self.examples[task] for task in rollout.tasks for _ in range(rollout.group_size)]
        answered = [replace(one, answer=answer) for one, answer in zip(asked, rollout.answers, strict=True)]
        return batches_of(answered, self.settings.training.micro_batch_tokens)

    def metrics(self, step: int) -> dict[str, float]:
        """Whether the step learned from the student's own answers, and of sampled ones their lengths."""
        on_policy = self.on_policy(step)
        sampled = on_policy or self.settings.seq_kd
        found = (self.own if on_policy else self.taught)[step].metrics() if sampled else {}
        lengths = {name: value for name, value in found.items() if name.startswith("completions/")}
        return {"on_policy": float(on_policy), **lengths}


def given_batches(
    examples: Sequence[TaughtExample], teacher: Teacher | StoredTeacher, settings: Settings, numbers: Sequence[int]
) -> list[Batch]:
    """The micro-batches of the answers that the examples with these numbers have."""
    chosen, size = [examples[number] for number in numbers], settings.training.micro_batch_tokens
    if isinstance(teacher, Teacher):
        return batches_of(chosen, size)
    return [  # the prompts that the teacher sees were seen when it was stored
        Batch.from_rows(
            [chosen[place].sequences[0] for place in group],
            [chosen[place].masks[0] for place in group],
            columns=teacher.columns([numbers[place] for place in group]),
        )
        for group in micro_batches([one.sequences for one in chosen], size)
    ]


def batches_of(examples: Sequence[TaughtExample], micro_batch_tokens: int) -> list[Batch]:
    """The micro-batches of examples; answers to one prompt stay together as far as they fit."""
    units = _units(examples, micro_batch_tokens)
    found: list[Batch] = []
    for group in micro_batches([[one.sequences[0] for one in unit] for unit in units], micro_batch_tokens):
        members = [one for place in group for one in units[place]]
        batch = Batch.from_rows([one.sequences[0] for one in members], [one.masks[0] for one in members])
        found.append(TaughtBatch.of(batch, members))
    return found


def _units(examples: Sequence[TaughtExample], micro_batch_tokens: int) -> list[list[TaughtExample]]:
    """Runs of answers to the same prompt, in parts where they are more than a micro-batch."""
    units: list[list[TaughtExample]] = []
    room = 0
    for one in examples:
        if not units or units[-1][-1].prompt is not one.prompt or len(one.answer) > room:
            units.append([])
            room = micro_batch_tokens - len(one.prompt)
        units[-1].append(one)
        room -= len(one.answer)
    return units


def divergences_of(model: Decoder, teacher: Teacher | StoredTeacher, settings: Settings, batch: Batch) -> Divergences:
    """How far the student is from its teacher at each entry of a batch."""
    beta, temperature = settings.beta, settings.temperature
    if isinstance(teacher, StoredTeacher):
        student = model.predictions(batch.forest, batch.scored).at(batch.entries).of_first(teacher.vocab_size)
        said = at_tokens(student, batch.columns[IDS].long(), temperature=temperature)
        return Divergences(generalized_jsd(said.logps, batch.columns[LOGPS], beta=beta), said.entropies)
    seen = batch.taught if isinstance(batch, TaughtBatch) and batch.taught is not None else batch
    with torch.no_grad(), teacher.decoder() as decoder:
        taught = decoder.predictions(seen.forest, seen.scored).at(seen.entries)
    student = model.predictions(batch.forest, batch.scored).at(batch.entries)
    shared = min(student.vocab_size, taught.vocab_size)
    return divergences(student.of_first(shared), taught.of_first(shared), beta=beta, temperature=temperature)


def divergence_metrics(
    model: Decoder, teacher: Teacher | StoredTeacher, settings: Settings, heldout: Sequence[Batch]
) -> dict[str, float]:
    """The loss and the student's entropy on held-out batches, without training; nothing where there are none."""
    model.eval()
    with torch.inference_mode():
        moved = (batch.to(model.device) for batch in heldout)
        found = ((batch, divergences_of(model, teacher, settings, batch)) for batch in moved)
        return measure(Distillation(settings.temperature), found)

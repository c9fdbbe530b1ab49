"""Four routes of a small student to additions that it cannot do, by the methods that recipes use.

Notable choices:
- reinforcement without a teacher sets the budget of operations; the others take as many answers as it pays for;
- the operations are counted again afterwards, from the tokens that were really sampled, asked about and learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.datasets.examples import Example
from burnish.datasets.taught import TaughtExample
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.lab.reasoning.arithmetic import Addition, is_right, longest_answer, tasks
from burnish.lab.reasoning.operations import Operations
from burnish.lab.reasoning.reading import n_parameters
from burnish.lab.reasoning.reinforcing import Reinforcing, reinforce
from burnish.lab.reasoning.setting import Setting
from burnish.methods import distill, sft
from burnish.methods.teachers import Teacher
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.runs.run import Run
from burnish.training.events import read_events

RL = "RL by itself"
TAUGHT = ("text", "forward KL", "reverse KL, on-policy")
"""The routes with a teacher: its right answers; its distributions on its own answers; those on the student's."""


@dataclass(frozen=True)
class Student:
    """A student at the start of all routes, its teacher, and the digits of what it learns.

    question, answer: mean tokens of a question and of the teacher's answers, by which answers are paid for.
    """

    setting: Setting
    start: Decoder
    teacher: Decoder
    digits: Sequence[int]
    question: float
    answer: float

    def reinforced(self, case: Reinforcing, run: Run) -> tuple[Decoder, Operations]:
        """By GRPO alone; its operations are the budget."""
        policy = sharing_copy(self.start)
        events = reinforce(self.setting, case, policy, run)
        size = n_parameters(policy)
        answers = case.prompts * case.samples
        sampled = sum(event["completions/mean_length"] * answers for event in events)
        return policy, Operations().forward(size, sampled).training(size, sum(event["tokens"] for event in events))

    def taught(self, route: str, case: Reinforcing, budget: Operations, run: Run) -> tuple[Decoder, Operations]:
        """By one of the routes with a teacher, with as many answers as the budget pays for, trained as RL trains."""
        policy = sharing_copy(self.start)
        count = max(case.prompts, int(budget.total / self._cost_of_answer(route).total))
        problems = self.setting.drawn(self.digits, count, [run.seed, 3])
        if route == "text":
            return policy, self._imitate(policy, problems, case, run)
        return policy, self._distil(policy, problems, route, case, run)

    def _cost_of_answer(self, route: str) -> Operations:
        student, teacher = n_parameters(self.start), n_parameters(self.teacher)
        both = self.question + self.answer
        learned = Operations().training(student, both)
        if route == "text":
            return learned.forward(teacher, self.answer)
        writer = teacher if route == "forward KL" else student
        return learned.forward(writer, self.answer).forward(teacher, both)

    def _imitate(self, policy: Decoder, problems: Sequence[Addition], case: Reinforcing, run: Run) -> Operations:
        """SFT on those of the teacher's answers that are right, each once."""
        setting = self.setting
        prompts = [setting.prompt(problem) for problem in problems]
        sampling = Sampling(max_new_tokens=self._longest, stop=setting.tokenizer.stop_ids)
        groups = generate(self.teacher, prompts, sampling, seed=run.seed)
        examples, sampled = [], 0
        for problem, prompt, (completion,) in zip(problems, prompts, groups, strict=True):
            sampled += len(completion.tokens) + 1
            if completion.stop is not None and is_right(problem, setting.tokenizer.decode(completion.tokens)):
                answer = [*completion.tokens, completion.stop]
                examples.append(Example([*prompt, *answer], [False] * len(prompt) + [True] * len(answer)))
        spent = Operations().forward(n_parameters(self.teacher), sampled)
        if not examples:  # nothing to imitate: the student stays as it is
            return spent
        sft.learn(policy, examples, sft.Settings.model_validate({"training": case.training}), run)
        return spent.training(n_parameters(policy), _tokens(run))

    def _distil(
        self, policy: Decoder, problems: Sequence[Addition], route: str, case: Reinforcing, run: Run
    ) -> Operations:
        forward = route == "forward KL"
        settings = distill.Settings.model_validate(
            {
                "beta": 0.0 if forward else 1.0,
                "lmbda": 0.0 if forward else 1.0,
                "seq_kd": forward,
                "max_new_tokens": self._longest,
                "training": case.training,
            }
        )
        examples = [
            TaughtExample(task, self.setting.prompt(problem), [])
            for task, problem in zip(tasks(problems), problems, strict=True)
        ]
        distill.learn(policy, self.setting.tokenizer, Teacher(policy, self.teacher), examples, settings, run)
        student, teacher, learned = n_parameters(policy), n_parameters(self.teacher), _tokens(run)
        sampled = sum(event["completions/mean_length"] for event in read_events(run.folder)) * case.prompts
        spent = Operations().forward(teacher if forward else student, sampled).forward(teacher, learned)
        return spent.training(student, learned)

    @property
    def _longest(self) -> int:
        return longest_answer(max(self.digits)) + 2


def _tokens(run: Run) -> float:
    """Tokens that a training has learned from."""
    return sum(event["tokens"] for event in read_events(run.folder))

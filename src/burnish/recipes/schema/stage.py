"""What every stage of a recipe is: a validated configuration with a `run` that composes the floors below.

A stage says in its types what it reads: a field annotated with `FileReference`, `ModelReference` or another reference
below is found by the planner, resolved to paths, hashed into the stage's cache key and made available through
`StageContext.path`. A stage therefore never looks for files itself, and cannot forget one in its key.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

from burnish.errors import BurnishError, DataError
from burnish.files import open_regular
from burnish.recipes.language.places import KeyPath
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish import Decoder, ProcessRewardModel, ScalarModel
    from burnish.checkpoints.facts import ModelShape
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer

ReferenceKind = Literal[
    "file",
    "documents",
    "model",
    "encoder_decoder",
    "reward_model",
    "process_reward_model",
    "corpus",
    "preferences",
    "evaluation",
    "index",
    "text_encoder",
]
DATA_KINDS: tuple[ReferenceKind, ...] = ("file", "documents", "preferences")
"""What can be checked row by row before the stage runs."""

BASE_MODEL = "base"
"""The name by which stages refer to the model that the recipe starts from."""


PROBED_ROWS = 20
"""Rows that are encoded before anything trains: what a model's chat template refuses, it refuses soon."""


Metrics = dict[str, Any]
"""What a stage measured, as values that JSON can hold."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]


def exists(path: Path) -> bool:
    """Whether there is a file or folder; also for a text that could not be one, such as a name of 5,000 characters."""
    try:
        return path.exists()
    except OSError:
        return False


def read_text(path: Path) -> str:
    """The text of a file without the white space around it. Raises DataError where it is no regular file of UTF-8."""
    try:
        with open_regular(path) as file:
            return file.read().decode("utf-8").strip()
    except BurnishError as error:
        raise DataError(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8: {error}") from error


@dataclass(frozen=True)
class Reference:
    """Marks a text that names something to read: `@stage`, `@stage/path`, or a path relative to the recipe.

    kind: which product a bare `@stage` stands for (`StageConfig.produces`).
    latest: a value left out stands for the latest earlier stage with that product; for a model, failing that, for the
        recipe's model.
    words: values that name nothing to be found; the stage knows what they stand for.
    text: a value that does not start with @ is the text itself.
    """

    kind: ReferenceKind
    latest: bool = False
    words: tuple[str, ...] = ()
    text: bool = False

    def is_itself(self, value: str) -> bool:
        """Whether a value names nothing that could be read."""
        return value in self.words or (self.text and not value.startswith("@"))


FileReference = Annotated[str, Reference("file")]
SystemPrompt = Annotated[str | None, Reference("file", text=True)]
DocumentsReference = Annotated[str, Reference("documents")]
ModelReference = Annotated[str, Reference("model")]
LatestModel = Annotated[str | None, Reference("model", latest=True)]
RewardModelReference = Annotated[str, Reference("reward_model")]
ProcessRewardModelReference = Annotated[str, Reference("process_reward_model")]
CorpusReference = Annotated[str, Reference("corpus")]
PreferencesReference = Annotated[str, Reference("preferences")]
IndexReference = Annotated[str, Reference("index")]
LatestEvaluation = Annotated[str | None, Reference("evaluation", latest=True)]


@dataclass(frozen=True)
class Action:
    """What a recipe does besides computing: something to be said, and agreed to, before it happens.

    kind: `runs` code of its own, `imports` code into this process, or `sends` data to another machine.
    shown: what exactly, as a person reads it. content: hashes of the code, the arguments, the address: a JSON value
    that changes where the person should be asked again. reference: the reference as written where the code is one.
    """

    kind: Literal["runs", "imports", "sends"]
    shown: str
    content: Any = None
    reference: str | None = None


class StrictModel(BaseModel):
    """Base of everything written in a recipe: no unknown keys, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def actions(self, folder: Path) -> "Iterator[Action]":
        """What this part of the recipe itself executes, imports or sends. `folder` is the recipe's."""
        yield from ()


class StageConfig(StrictModel):
    """Base of the stages. A subclass adds `type`, its keys, what it produces, and `run`."""

    name: Name | None = Field(None, description="name of the stage in references and folders; its type if left out")

    produces: ClassVar[Mapping[ReferenceKind, str]] = {}
    """What a bare `@name` of each kind stands for, as a path inside the stage's folder."""
    copies: ClassVar[bool] = False
    """Whether the product is an earlier one in another form, which `latest` references pass over."""
    retokenizes: ClassVar[bool] = False
    """Whether the model that it makes has another tokenizer than the one it is made from: `tokenizer_made`."""
    seeded: ClassVar[bool] = True
    """Whether the result depends on the recipe's seed, device and dtype, and so must its cache key."""
    shows: ClassVar[tuple[str, ...]] = ()
    """Top-level keys of the recipe that the product tells of, and that its cache key must hold."""
    begins: ClassVar[bool] = False
    """Whether it makes a model from nothing, so that the recipe needs none to start from."""
    checked: ClassVar[tuple[ReferenceKind, ...]] = DATA_KINDS
    """The kinds of inputs that have to be there before `check` is called."""
    resumable: ClassVar[bool] = False
    """Whether what an interrupted run left in the folder is of use to the next one."""

    @property
    def makes(self) -> Mapping[ReferenceKind, str]:
        """What of `produces` this stage makes, as it is configured."""
        return self.produces

    @classmethod
    def type_name(cls) -> str:
        """The stage's `type` in a recipe."""
        return str(cls.model_fields["type"].default)

    def fingerprints(self, folder: Path) -> dict[str, str]:
        """What the result depends on besides configuration and references. `folder` is the recipe's."""
        return {}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong in ways that types cannot say, with the key at fault. `folder` is the recipe's."""
        yield from ()

    def among(self, producers: Mapping[str, "StageConfig"]) -> Self:
        """The stage with what follows from the earlier stages, given by name, where it was left out."""
        return self

    def problems_among(self, producers: Mapping[str, "StageConfig"]) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong between this stage and earlier ones, given by name, with the key of this stage at fault."""
        yield from ()

    def notes(self, producers: Mapping[str, "StageConfig"]) -> Iterator[str]:
        """What is not wrong, but to be known before it runs. producers: the earlier stages by name."""
        yield from ()

    @property
    def new_tokens(self) -> int:
        """How many tokens at most the model that it makes has beyond those of the one it is made from."""
        return 0

    def tokenizer_made(
        self, tokenizer: "Tokenizer", inputs: Mapping[str, tuple[Path, ...]], *, about: bool = False
    ) -> "Tokenizer | None":
        """The tokenizer of the model that it makes, from that of the one it is made from, before it has run.

        inputs: the paths of every reference as written. None where it is not known yet; about: then one that makes at
        least as many tokens will do, where there is one. Raises BurnishError for what the stage will refuse.
        """
        return tokenizer

    def why_without(self, inner: str) -> str | None:
        """Why the stage's folder will not have `inner`, a path in it; None where it may."""
        return None

    def check(self, context: "StageContext") -> None:
        """Raise BurnishError if an input of the kinds `checked` is unusable.

        Called once all of them exist, which is before anything trains unless a trained model has made them.
        """

    def check_model(self, model: "ModelShape") -> None:
        """Raise RecipeError if the stage does not fit a model of this shape; called before anything runs."""

    def work(self, context: "StageContext") -> "Work | None":
        """What the stage has to compute; None where that is not known. Called where all its data is there.

        Raises BurnishError where the data as the stage will encode it is of no use.
        """
        return None

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        """Upper bound of what the stage has on the disk while it runs, for a model of so many parameters.

        steps: of its training, as far as they are counted, for what is kept on the way.
        """
        return 0

    def kept_bytes(self, n_parameters: int, steps: int = 0) -> int:
        """The part of `disk_bytes` that is there when the stage is done."""
        return self.disk_bytes(n_parameters, steps)

    @abstractmethod
    def run(self, context: "StageContext") -> Metrics:
        """Do the work in `context.folder` and return the metrics that `stage.json` keeps."""

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        """The part of `metrics` that belongs into the run's `summary.json`; nested keys are merged."""
        return {}


@dataclass(frozen=True, kw_only=True)
class StageContext(Run):
    """What the runner gives a stage: where it works, and its inputs.

    Attributes:
        key: the stage's cache key; it names everything that the result depends on.
        seed: derived from the recipe's seed and the stage's name.
        inputs: the paths of every reference as written in the configuration.
        input_keys: the content hash, or the producer's key, of every reference.
        today: the day that chat templates print.
        origins: the model outside of the run that each model reference goes back to.
        retokenized: what the stages between that model and the reference make of its tokenizer, in order.
        model_shape: that of the recipe's model, where work is counted.
        expected: by reference, corpora of about the size of those still to be made, where work is counted.
        lineage: `stage.json` of the stages that this one builds on, in order.
        recipe: the recipe's top-level values (`name`, `seed`, `model`, ...).
        base: the model that the recipe starts from, if there is one.
    """

    device: str
    compute_dtype: str
    inputs: Mapping[str, tuple[Path, ...]]
    input_keys: Mapping[str, str]
    recipe_folder: Path
    today: date | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    lineage: tuple[Mapping[str, Any], ...] = ()
    base: Path | None = None
    origins: Mapping[str, Path] = field(default_factory=dict)
    retokenized: "Mapping[str, Sequence[Callable[[Tokenizer], Tokenizer | None]]]" = field(default_factory=dict)
    model_shape: "ModelShape | None" = None
    expected: "Mapping[str, TokenCorpus]" = field(default_factory=dict)

    def paths(self, references: str | list[str]) -> list[Path]:
        """The files that one or several references stand for, patterns expanded."""
        names = [references] if isinstance(references, str) else references
        return [path for name in names for path in self.inputs[name]]

    def path(self, reference: str | None) -> Path:
        """The one path that a reference stands for; None is a `latest` reference that the planner has filled."""
        assert reference is not None
        (path,) = self.inputs[reference]
        return path

    def text(self, written: str | None) -> str | None:
        """A text of the recipe, or of the file that it refers to by `@stage/file`; None where there is none."""
        if written is None or not written.startswith("@"):
            return written
        return read_text(self.path(written))

    def tokenizer(self, reference: str | None) -> "Tokenizer | None":
        """The tokenizer that a model has or will have; None where it is not known before the run has made the model."""
        from burnish.checkpoints.facts import load_tokenizer

        assert reference is not None
        path = self.origins.get(reference)
        found = replace(load_tokenizer(path), today=self.today) if path is not None else None
        try:
            for change in self.retokenized.get(reference, ()):
                found = None if found is None else change(found)
        except BurnishError:  # said of the stage that makes it
            return None
        return found

    def corpus(self, reference: str | None) -> "TokenCorpus":
        """The corpus that a reference stands for, or one of about its size where work is counted before it is made."""
        from burnish.corpus.token_corpus import TokenCorpus

        assert reference is not None
        return self.expected[reference] if reference in self.expected else TokenCorpus.load(self.path(reference))

    def size_beside(self, reference: str | None) -> tuple[int, float]:
        """Parameters of a further model, and how many times those of the stage's they are; (0, 1) where there is none.

        One that an earlier stage has still to make is as large as what that begins with.
        """
        from burnish.checkpoints.facts import count_parameters, read_config

        path = None if reference is None else self.origins.get(reference)
        if path is None or self.model_shape is None:
            return 0, 1.0
        parameters = count_parameters(read_config(path))
        return parameters, parameters / count_parameters(self.model_shape)

    def probe(self, encode: "Callable[[Sequence[Any], Tokenizer], object]", rows: Sequence[Any], *models: str) -> None:
        """Encode the first rows as the stage will, for each of the models: what it would refuse is refused now."""
        alike = {(self.origins.get(model), *map(repr, self.retokenized.get(model, ()))): model for model in models}
        for model in alike.values():
            tokenizer = self.tokenizer(model)
            if tokenizer is not None:
                encode(rows[:PROBED_ROWS], tokenizer)

    def load(self, reference: str | None) -> "tuple[Decoder, Tokenizer]":
        """The model and tokenizer that a model reference stands for, on the recipe's device."""
        import burnish

        decoder, tokenizer = burnish.load(self.path(reference), compute_dtype=self.compute_dtype, device=self.device)
        return decoder, replace(tokenizer, today=self.today)

    def load_tokenizer(self, reference: str | None) -> "Tokenizer":
        """The tokenizer alone of the model that a reference stands for."""
        from burnish.checkpoints.facts import load_tokenizer

        return replace(load_tokenizer(self.path(reference)), today=self.today)

    def load_reward_model(self, reference: str | None) -> "tuple[ScalarModel, Tokenizer]":
        """The reward model and tokenizer that a reference stands for, on the recipe's device."""
        from burnish.checkpoints import load_reward_model

        path = self.path(reference)
        model, tokenizer = load_reward_model(path, compute_dtype=self.compute_dtype, device=self.device)
        return model, replace(tokenizer, today=self.today)

    def load_process_reward_model(self, reference: str | None) -> "tuple[ProcessRewardModel, Tokenizer]":
        """The process reward model and tokenizer that a reference stands for, on the recipe's device."""
        from burnish.checkpoints import load_process_reward_model

        path = self.path(reference)
        model, tokenizer = load_process_reward_model(path, compute_dtype=self.compute_dtype, device=self.device)
        return model, replace(tokenizer, today=self.today)


@dataclass(frozen=True)
class FoundReference:
    """A reference inside a stage's configuration: where, what was written (None: left out), and its marker."""

    path: KeyPath
    written: str | None
    marker: Reference


def parts(value: Any) -> "Iterator[StrictModel]":
    """Every part of a validated configuration that is a mapping with keys of its own, outermost first."""
    if isinstance(value, StrictModel):
        yield value
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from parts(item)


def references(value: Any, marker: Reference | None = None, path: KeyPath = ()) -> Iterator[FoundReference]:
    """All references in a validated configuration, depth first in the order of its fields."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            declared = next((extra for extra in info.metadata if isinstance(extra, Reference)), None)
            yield from references(getattr(value, name), declared or _marker(info.annotation), (*path, name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from references(item, marker, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references(item, marker, (*path, index))
    elif marker is None or (isinstance(value, str) and marker.is_itself(value)):
        return
    elif isinstance(value, str) or (value is None and marker.latest):
        yield FoundReference(path, value, marker)


def _marker(annotation: Any) -> Reference | None:
    """The marker anywhere inside an annotation such as `list[FileReference] | None`."""
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        found = part if isinstance(part, Reference) else _marker(part)
        if found is not None:
            return found
    return None

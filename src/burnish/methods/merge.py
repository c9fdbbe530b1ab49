"""Merging models of one architecture by their weights: no training, no data, one tensor at a time.

With θ₀ the base, θᵢ the models, δᵢ = θᵢ − θ₀ and wᵢ their weights, each tensor becomes
- `linear`: Σ wᵢ θᵢ / Σ wᵢ (model soups, Wortsman 2022, arXiv:2203.05482);
- `slerp`: sin((1−t)Ω)/sin Ω · θ₀ + sin(tΩ)/sin Ω · θ₁, Ω the angle between the two (Shoemake 1985);
- `task_arithmetic`: θ₀ + λ Σ wᵢ δᵢ (Ilharco 2023, arXiv:2212.04089);
- `ties`: θ₀ + λ Σ wᵢ δᵢ / Σ wᵢ, of each δᵢ the `density` largest numbers, and of these the ones whose sign is that of
  the sum (Yadav 2023, arXiv:2306.01708);
- `dare_linear`: as task_arithmetic, each number of δᵢ dropped with probability 1 − `density`, the others divided by
  `density` (Yu 2024, arXiv:2311.03099);
- `dare_ties`: as ties without dividing by Σ wᵢ, with DARE's dropping in place of the largest numbers.

With `onto` the sum of differences is added to another model than the base: the chat vector, that is the difference of
a chat model from what it was trained from, added to a model trained on a domain (Huang 2024, arXiv:2310.04799).

Notable choices:
- models are read tensor by tensor from their files and written in shards: memory holds one tensor of each model and a
  shard, whatever the models' size;
- what does not fit is refused before anything is read: other names or shapes, another vocabulary by its content;
- which numbers DARE drops depends on the seed, the model's place and the tensor's name alone.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from burnish.errors import BurnishError
from burnish.runs.progress import Reporter, Silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MergeMethod = Literal["linear", "slerp", "task_arithmetic", "ties", "dare_linear", "dare_ties"]
SHARD_BYTES = 1_000_000_000
_COLLINEAR = 0.9995
"""Cosine from which two tensors are interpolated linearly: sin Ω is too small to divide by."""


class MergedModel(BaseModel):
    """A model that takes part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path = Field(description="folder of a Hugging Face model")
    weight: float = Field(1.0, description="how much it, or its difference from the base, counts")
    density: float = Field(1.0, gt=0, le=1, description="share of its difference that ties and dare keep")


class Settings(BaseModel):
    """How models are merged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: MergeMethod = Field(description="linear, slerp, task_arithmetic, ties, dare_linear or dare_ties")
    models: list[MergedModel] = Field(min_length=1, description="models to merge")
    base: Path | None = Field(None, description="model that differences are taken from; of slerp the other end")
    onto: Path | None = Field(
        None, description="model that the differences are added to, if not the base: a chat vector on a domain's model"
    )
    t: float = Field(0.5, ge=0, le=1, description="place between the base (0) and the model (1), for slerp")
    scale: float = Field(1.0, description="what the sum of differences is multiplied by (λ)")
    seed: int = Field(0, ge=0, description="where dare's randomness starts")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="number format of the result")

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.method == "linear":
            if self.base is not None:
                raise ValueError("linear takes no base: name that model among the models, with its weight")
            if sum(one.weight for one in self.models) == 0:
                raise ValueError("the weights of linear add up to 0; expected a sum that can be divided by")
        elif self.base is None:
            raise ValueError(f"{self.method} needs a base, which differences are taken from")
        if self.onto is not None and self.method in ("linear", "slerp"):
            raise ValueError(f"{self.method} takes no differences that could be added onto another model")
        if self.method == "slerp" and len(self.models) != 1:
            raise ValueError(f"slerp lies between the base and one model; got {len(self.models)} models")
        return self


def merge(settings: Settings, output: Path, *, display: Reporter | None = None) -> Path:
    """Merge the models into the folder `output`, with the tokenizer and configuration of the base, or the first model.

    Raises BurnishError naming the file where models do not belong together; `output` is whole or not there.
    """
    import torch

    import burnish
    from burnish.checkpoints.huggingface import write_folder
    from burnish.text.tokenizer import Tokenizer

    folders = [path for path in (settings.onto, settings.base) if path is not None]
    folders += [one.model for one in settings.models]
    if output.resolve() in [folder.resolve() for folder in folders]:
        raise BurnishError(f"{output}: the merged model would replace one that it is made of; choose another folder")
    sources = [_Source(folder) for folder in folders]
    first = sources[0]
    for other in sources[1:]:
        other.check_like(first)
    display = display or Silent()
    names = list(first.shapes)
    dtype: torch.dtype = getattr(torch, settings.dtype)

    def tensors() -> "Iterator[tuple[str, Tensor]]":
        with display.bar("merge", len(names), "tensors") as bar:
            for number, name in enumerate(names, start=1):
                yield name, merged(settings, name, [source.read(name) for source in sources])
                bar.update(number)

    card = "\n".join(
        [
            "# Merged model\n",
            f"Merged by Burnish {burnish.__version__}: `{settings.method}`.\n",
            *([] if settings.onto is None else [f"- onto: {settings.onto.name}"]),
            *([] if settings.base is None else [f"- base: {settings.base.name}"]),
            *(f"- {one.model.name}: weight {one.weight:g}, density {one.density:g}" for one in settings.models),
        ]
    )
    write_folder(
        output,
        settings=first.settings,
        tokenizer=Tokenizer.from_folder(first.folder),
        tensors=tensors(),
        card=card + "\n",
        dtype=dtype,
        max_shard_bytes=SHARD_BYTES,
    )
    return output


def merged(settings: Settings, name: str, tensors: "Sequence[Tensor]") -> "Tensor":
    """One tensor of the merged model, of float32 ones: that of `onto`, that of `base`, where given, and the models'."""
    import torch

    weights = [one.weight for one in settings.models]
    if settings.method == "linear":
        total = torch.zeros_like(tensors[0])
        for weight, tensor in zip(weights, tensors, strict=True):
            total += weight * tensor
        return total / sum(weights)
    start = tensors[0]
    base, *models = tensors if settings.onto is None else tensors[1:]
    if settings.method == "slerp":
        return slerp(settings.t, base, models[0])
    deltas = []
    for place, (one, tensor) in enumerate(zip(settings.models, models, strict=True)):
        delta = tensor - base
        if settings.method == "ties":
            delta = largest(delta, one.density)
        elif settings.method in ("dare_linear", "dare_ties"):
            delta = dropped(delta, one.density, _generator(settings.seed, place, name))
        deltas.append(delta * one.weight)
    if settings.method in ("task_arithmetic", "dare_linear"):
        return start + settings.scale * torch.stack(deltas).sum(0)
    stacked = torch.stack(deltas)
    elected = torch.where(stacked.sum(0) >= 0, 1.0, -1.0)
    agree = stacked.sign() == elected
    total = (stacked * agree).sum(0)
    if settings.method == "ties":
        shape = (-1, *[1] * base.dim())
        divisor = (torch.tensor(weights).view(shape) * agree).sum(0)
        total /= torch.where(divisor == 0, 1.0, divisor)
    return start + settings.scale * total


def slerp(t: float, one: "Tensor", other: "Tensor") -> "Tensor":
    """The point at t on the arc between two tensors of one shape, each taken as one vector."""
    import torch

    first, second = one.flatten(), other.flatten()
    norms = [torch.where(norm > 1e-8, norm, 1.0) for norm in (first.norm(), second.norm())]
    cosine = ((first / norms[0]) * (second / norms[1])).sum().clamp(-1, 1)
    if cosine.abs() > _COLLINEAR:
        return (1 - t) * one + t * other
    angle = torch.acos(cosine)
    return (torch.sin((1 - t) * angle) * one + torch.sin(t * angle) * other) / torch.sin(angle)


def largest(delta: "Tensor", density: float) -> "Tensor":
    """The share `density` of the numbers that are largest in size, at least one; the others are 0."""
    import torch

    if density >= 1 or not delta.numel():
        return delta
    count = max(1, int(density * delta.numel()))
    kept = torch.zeros(delta.numel())
    kept[torch.argsort(delta.abs().flatten(), descending=True)[:count]] = 1.0
    return delta * kept.view_as(delta)


def dropped(delta: "Tensor", density: float, generator: "torch.Generator") -> "Tensor":
    """Each number dropped with probability 1 − density, the others divided by it, so that the mean stays."""
    import torch

    if density >= 1:
        return delta
    return delta * torch.bernoulli(torch.full_like(delta, density), generator=generator) / density


def _generator(seed: int, place: int, name: str) -> "torch.Generator":
    import torch

    digest = hashlib.blake2b(f"{seed}\0{place}\0{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)


class _Source:
    """A model's tensors, read one by one under their usual names."""

    def __init__(self, folder: Path) -> None:
        from burnish.checkpoints import huggingface
        from burnish.checkpoints.families import write_settings

        if not (folder / "config.json").is_file():
            what = "a GGUF file: export it as a folder first" if folder.suffix == ".gguf" else "no config.json there"
            raise BurnishError(f"{folder}: expected the folder of a Hugging Face model; {what}")
        self.folder = folder
        family, config = huggingface.read_config(folder)
        config = huggingface.untied(folder, family, config)
        self.config = config
        self.settings = write_settings(family, config)
        self.homes = huggingface.tensor_files(folder)
        weights = list(family.expected_weights(config))
        self.stored = huggingface.stored_names(weights, family, self.homes)
        self.shapes = {weight.huggingface: weight.huggingface_shape for weight in weights}

    def check_like(self, first: "_Source") -> None:
        """Raise BurnishError unless this model has the tensors, and the vocabulary, of another."""
        from burnish.text.tokenizer import Tokenizer

        for name in sorted({*self.shapes, *first.shapes}):
            here, there = self.shapes.get(name), first.shapes.get(name)
            if here != there:
                raise BurnishError(
                    f"{self.folder}: {name} is {_shown(here)}, in {first.folder} {_shown(there)}; "
                    "only models of one architecture and size can be merged"
                )
        vocabularies = [
            Tokenizer.from_folder(source.folder).backend.get_vocab(with_added_tokens=True) for source in (self, first)
        ]
        if vocabularies[0] != vocabularies[1]:
            token = min({*vocabularies[0].items()} ^ {*vocabularies[1].items()}, key=lambda item: (item[1], item[0]))
            raise BurnishError(
                f"{self.folder}: its vocabulary is not that of {first.folder}: they differ at id {token[1]}, "
                f"{token[0]!r}; merged embeddings would mean nothing"
            )

    def read(self, name: str) -> "Tensor":
        from burnish.checkpoints.huggingface import read_tensors

        stored = self.stored[name]
        if stored not in self.homes:
            raise BurnishError(f"{self.folder}: tensor {stored} is missing; the model is incomplete")
        ((_, tensor),) = read_tensors(self.homes[stored], {stored: self.shapes[name]})
        return tensor


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"of shape {list(shape)}"

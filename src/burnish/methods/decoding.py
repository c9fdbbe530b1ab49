"""How an evaluation chooses tokens, and a grid of other ways to choose them.

Nothing here imports PyTorch: recipes read these settings.
"""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from burnish.methods.settings import Strict
from burnish.rewards.votes import VOTE_TEMPERATURE

if TYPE_CHECKING:
    from burnish.generation.sampling import Sampling

_Temperature = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Least = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]
_Penalty = Annotated[float, Field(gt=0)]

OFF = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}
"""What truncates nothing."""


class Decoding(BaseModel):
    """How tokens are chosen; at temperature 0 always the most probable one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: _Temperature = Field(VOTE_TEMPERATURE, description="of the sampled answers, with samples or votes")
    top_p: _Share = Field(1.0, description="choose among the tokens that hold this share of probability")
    top_k: _Count = Field(0, description="choose among so many tokens; 0: all")
    min_p: _Least = Field(0.0, description="choose among tokens at least so many times as probable as the first")
    repetition_penalty: _Penalty = Field(1.0, description="above 1, what was said is less likely")

    @property
    def truncation(self) -> str | None:
        """The first key that leaves tokens out of the draw; None where none does."""
        return next((key for key, off in OFF.items() if getattr(self, key) != off), None)

    def sampling(self, max_new_tokens: int, stop: Sequence[str]) -> "Sampling":
        """What the engine takes."""
        from burnish.generation.sampling import Sampling

        own = {key: getattr(self, key) for key in Decoding.model_fields}
        return Sampling(**own, max_new_tokens=max_new_tokens, stop_strings=tuple(stop))

    def named(self, keys: Sequence[str]) -> str:
        """A name that tells it from others that differ in these keys, fit for a file."""
        return ",".join(f"{key}={getattr(self, key):g}" for key in keys)


class Grid(Strict):
    """Values that are tried, each with each of the other keys; a key left out stays as it is."""

    temperature: list[_Temperature] = Field(
        [], description="temperatures; 0 is greedy, at which nothing else but the penalty counts"
    )
    top_p: list[_Share] = Field([], description="shares of probability")
    top_k: list[_Count] = Field([], description="numbers of tokens; 0: all")
    min_p: list[_Least] = Field([], description="least probabilities, of the first token's")
    repetition_penalty: list[_Penalty] = Field([], description="penalties; 1: none")

    @model_validator(mode="after")
    def _has_values(self) -> "Grid":
        if not self.keys:
            raise ValueError("has no value to try; expected some, for example {temperature: [0.3, 0.7]}")
        return self

    @property
    def keys(self) -> list[str]:
        """The keys that have values."""
        return [key for key in type(self).model_fields if getattr(self, key)]

    def around(self, own: Decoding) -> list[Decoding]:
        """All ways of decoding in the grid that differ from `own` and from each other."""
        found = {own: None}
        for values in product(*(getattr(self, key) for key in self.keys)):
            one = own.model_copy(update=dict(zip(self.keys, values, strict=True)))
            found[one.model_copy(update=OFF) if one.temperature == 0 else one] = None
        return list(found)[1:]

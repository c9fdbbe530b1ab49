"""A decoder that says a number instead of the next token: reward models and critics."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.decoder import Decoder


class ScalarModel(nn.Module):
    """`score(h)` of the decoder's final hidden state h at a token (Stiennon 2020, arXiv:2009.01325, section 3.4).

    The head `score` `[1, d_model]` has no bias, as transformers' `...ForSequenceClassification` has it; it is drawn
    from `seed` with deviation `1 / sqrt(d_model + 1)` around zero. The head and its product are float32.
    """

    def __init__(self, decoder: Decoder, *, seed: int = 0) -> None:
        super().__init__()
        self.decoder = decoder
        width = decoder.config.d_model
        generator = torch.Generator(decoder.device).manual_seed(seed)
        weight = torch.empty(1, width, device=decoder.device)
        self.score = nn.Parameter(weight.normal_(0.0, (width + 1) ** -0.5, generator=generator))

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    def scalars(self, hidden: Tensor) -> Tensor:
        """`[..., d_model]` -> `[...]`, float32."""
        return F.linear(hidden.float(), self.score).squeeze(-1)

    def forward(self, forest: Forest, indices: Tensor) -> Tensor:
        """The scalar at the tokens `indices` `[n]` of the forest: float32 `[n]`."""
        return self.scalars(self.decoder(forest).index_select(0, indices))

    def with_logps(self, forest: Forest, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The scalar at the tokens `indices` `[n]`, and log p of these tokens themselves, in nats: float32 `[n]` each.

        Raises ValueError where one of them is a root's first token, which nothing predicts.
        """
        logps, _, hidden = self.decoder(forest, scored=indices)
        return self.scalars(hidden.index_select(0, indices)), logps

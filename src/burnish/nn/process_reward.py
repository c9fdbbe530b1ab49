"""A decoder that says how probably each step of an answer is right."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.decoder import Decoder


class ProcessRewardModel(nn.Module):
    """Two logits at a token, for "the step that ends here is wrong" and "right" (Lightman 2023, arXiv:2305.20050).

        p = softmax(W h + b)[1] = σ(z),    z = (W h + b)[1] - (W h + b)[0]

    with the decoder's final hidden state h at the token. `score` `[2, d_model]` is drawn from `seed` with deviation
    `1 / sqrt(d_model + 1)` around zero, `bias` `[2]` is zero: the head of transformers' `...ForTokenClassification`.
    The head and its product are float32. step_separator: what the steps of an answer end with.
    """

    def __init__(self, decoder: Decoder, *, step_separator: str = "\n", seed: int = 0) -> None:
        super().__init__()
        self.decoder, self.step_separator = decoder, step_separator
        width = decoder.config.d_model
        generator = torch.Generator(decoder.device).manual_seed(seed)
        weight = torch.empty(2, width, device=decoder.device)
        self.score = nn.Parameter(weight.normal_(0.0, (width + 1) ** -0.5, generator=generator))
        self.bias = nn.Parameter(torch.zeros(2, device=decoder.device))

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    def forward(self, forest: Forest, indices: Tensor) -> Tensor:
        """The logits at the tokens `indices` `[n]` of the forest: float32 `[n, 2]`."""
        return F.linear(self.decoder(forest).index_select(0, indices).float(), self.score, self.bias)

    def log_odds(self, forest: Forest, indices: Tensor) -> Tensor:
        """z of the same tokens: float32 `[n]`."""
        logits = self(forest, indices)
        return logits[:, 1] - logits[:, 0]

"""Stand-ins for what TRL's PPOTrainer wants as models: a reward that costs nothing, and completions that are given."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.our_rollouts import odd_share


class _Backbone(nn.Module):
    def __init__(self, new_tokens: int) -> None:
        super().__init__()
        self.new_tokens = new_tokens

    def forward(self, *, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        share = torch.tensor(odd_share(input_ids[:, -self.new_tokens :].tolist()))
        return SimpleNamespace(hidden_states=(share[:, None, None].expand(*input_ids.shape, 1),))


class OddShare(nn.Module):
    """`our_rollouts.odd_share` of a completion, as the score of all its tokens `[rows, tokens, 1]`."""

    base_model_prefix = "backbone"

    def __init__(self, new_tokens: int) -> None:
        super().__init__()
        self.backbone, self.score = _Backbone(new_tokens), nn.Identity()


def given_generation(prompts: Sequence[list[int]], fixed: Sequence[Sequence[list[int]]]) -> Callable[..., Any]:
    """In place of TRL's `batch_generation`: completions of the `prompts`, and the logits that they are drawn from."""

    def generation(model: nn.Module, queries: Tensor, _: int, padding: int, *__: Any) -> tuple[Tensor, Tensor]:
        rows = [[token for token in row if token != padding] for row in queries.tolist()]
        answers = torch.tensor([fixed[prompts.index(row)][0] for row in rows])
        whole = torch.cat([queries, answers], dim=1)
        mask = whole != padding
        positions = mask.cumsum(1) - mask.long()
        logits = model(input_ids=whole.masked_fill(~mask, 0), attention_mask=mask, position_ids=positions).logits
        return whole, logits[:, queries.shape[1] - 1 : -1]

    return generation

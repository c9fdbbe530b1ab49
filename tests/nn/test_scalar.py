"""The scalar of a token is the head's product with its hidden state, and all of the decoder learns from it."""

import torch

from burnish.forest import Forest
from burnish.nn.scalar import ScalarModel
from tiny_models import TINY, tiny_decoder


def test_a_scalar_depends_on_the_path_to_its_token_alone() -> None:
    prompt, answers = list(range(20)), [[30, 31, 32], [33, 34]]
    model = ScalarModel(tiny_decoder(scale=5), seed=3)
    forest, ends = Forest.from_sequences([prompt + answer for answer in answers])
    assert forest.n_tokens == len(prompt) + sum(map(len, answers))
    found = model(forest, torch.stack([forest.path(end)[-1] for end in ends]))
    alone = []
    for answer in answers:
        tokens = torch.tensor(prompt + answer)
        hidden = model.decoder(Forest(tokens, (len(tokens),), (-1,)))
        alone.append((hidden[-1] * model.score[0]).sum())
    torch.testing.assert_close(found, torch.stack(alone))
    found.sum().backward()
    without_gradient = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without_gradient == []


def test_the_head_is_a_function_of_the_seed_and_scaled_by_the_width() -> None:
    first, again, other = (ScalarModel(tiny_decoder(), seed=seed).score.detach() for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    many = torch.cat([ScalarModel(tiny_decoder(), seed=seed).score.detach() for seed in range(100)])
    assert abs(many.std().item() * (TINY.d_model + 1) ** 0.5 - 1) < 0.1

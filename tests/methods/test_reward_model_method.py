"""What a reward model says of rows that it did not train on."""

import pytest

from burnish.datasets.rankings import RankedExample, ranked_batches
from burnish.methods.reward_model import measure
from burnish.nn.scalar import ScalarModel
from burnish.objectives.reward_model import RewardModelling
from tiny_models import tiny_decoder


def test_measuring_is_the_same_in_one_batch_or_several() -> None:
    model = ScalarModel(tiny_decoder(scale=5))
    examples = [RankedExample([1, 2, i], [[i, 9], [7, i, 6], [8, 8]][: 2 + i % 2]) for i in range(10, 19)]
    whole, parts = (
        measure(model, RewardModelling(), ranked_batches(examples, micro_batch_tokens=tokens)) for tokens in (1000, 20)
    )
    calibrations = whole.pop("calibration"), parts.pop("calibration")
    assert whole == pytest.approx(parts, rel=1e-4, abs=1e-6)
    assert sum(row["pairs"] for row in calibrations[0]) == sum(row["pairs"] for row in calibrations[1]) == 17
    assert whole["min_reward"] < whole["mean_reward"] < whole["max_reward"]

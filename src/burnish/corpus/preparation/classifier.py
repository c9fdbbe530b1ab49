"""A classifier of texts that learns from a few examples of good and bad: logistic regression on hashed words and pairs.

Bags of n-grams in a linear model are what GPT-3's, PaLM's and CCNet's descendants filter the web with (Brown 2020,
arXiv:2005.14165, appendix A; Joulin 2017, arXiv:1607.01759, for the features): as good as larger models here, and
thousands of texts a second on one core.

Notable choices:
- hashed features (Weinberger 2009): no vocabulary to keep, and a model is one array, kept as safetensors;
- both kinds count the same whatever their number of examples;
- training has no randomness: the same examples give the same scores.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from burnish.errors import BurnishError, DataError
from burnish.files import atomic_write_bytes

N_FEATURES = 1 << 18
NGRAMS = (1, 2)
MAX_CHARACTERS = 20_000
"""Of a text the classifier reads the beginning: its kind shows soon, and the score of a book is that of a page."""
_FORMAT = "burnish text classifier 1"


@dataclass(frozen=True)
class TextClassifier:
    """Scores of texts from 0, bad, to 1, good. weights: `[N_FEATURES]`, float32."""

    weights: npt.NDArray[np.float32]
    bias: float

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """The score of each text, `[texts]`: the probability that it is good if good and bad were equally many."""
        if not texts:
            return np.zeros(0)
        logits = _features(texts) @ self.weights.astype(np.float64) + self.bias
        return np.asarray(1 / (1 + np.exp(-logits)))

    def save(self, path: Path) -> None:
        """Write a safetensors file. Raises BurnishError where it cannot be written."""
        metadata = {"format": _FORMAT, "settings": json.dumps({"n_features": N_FEATURES, "ngrams": NGRAMS})}
        tensors = {"weights": self.weights, "bias": np.array([self.bias], dtype=np.float32)}
        atomic_write_bytes(path, save(tensors, metadata=metadata))

    @classmethod
    def load(cls, path: Path) -> "TextClassifier":
        """Read what `save` wrote. Raises DataError where the file is something else."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    raise DataError(f"{path}: it is no text classifier; train one from examples of good and bad")
                weights, bias = file.get_tensor("weights"), file.get_tensor("bias")
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be read as a text classifier: {error}") from error
        if weights.shape != (N_FEATURES,) or bias.shape != (1,):
            raise DataError(f"{path}: weights of shape {weights.shape}; expected ({N_FEATURES},)")
        return cls(weights, float(bias[0]))


def train(good: Sequence[str], bad: Sequence[str], *, regularization: float = 10.0) -> TextClassifier:
    """Learn from examples of both kinds. regularization: scikit-learn's `C`, the larger the closer to the examples."""
    linear_model = _sklearn("linear_model")
    if min(len(good), len(bad)) < 2:
        raise DataError(
            f"a classifier learns from two examples of each kind at least: {len(good)} good, {len(bad)} bad"
        )
    model = linear_model.LogisticRegression(
        C=regularization, class_weight="balanced", solver="liblinear", random_state=0
    )
    model.fit(_features([*good, *bad]), np.repeat([1, 0], [len(good), len(bad)]))
    return TextClassifier(model.coef_[0].astype(np.float32), float(np.float32(model.intercept_[0])))


def held_out_accuracy(good: Sequence[str], bad: Sequence[str], folds: int = 5) -> float:
    """The mean share of right answers for both kinds, each example judged by a classifier that has not seen it."""
    right = []
    for texts, others, sign in ((good, bad, 1), (bad, good, -1)):
        scores = np.zeros(len(texts))
        for fold in range(folds):
            mine = [text for number, text in enumerate(texts) if number % folds != fold]
            rest = [text for number, text in enumerate(others) if number % folds != fold]
            model = train(mine, rest) if sign > 0 else train(rest, mine)
            scores[fold::folds] = model.scores(texts[fold::folds])
        right.append(np.mean(sign * (scores - 0.5) > 0))
    return float(np.mean(right))


def _features(texts: Sequence[str]) -> Any:
    """A sparse matrix `[texts, N_FEATURES]`, rows of length 1."""
    vectorizer = _sklearn("feature_extraction.text").HashingVectorizer(
        n_features=N_FEATURES,
        ngram_range=NGRAMS,
        alternate_sign=False,
        norm="l2",
        token_pattern=r"\w+|[^\w\s]",
        lowercase=True,
    )
    return vectorizer.transform([text[:MAX_CHARACTERS] for text in texts])


def _sklearn(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError:
        raise BurnishError(
            "classifiers of texts need scikit-learn; install it with `pip install 'burnish[filters]'`"
        ) from None

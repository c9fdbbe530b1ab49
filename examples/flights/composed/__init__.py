"""Questions composed from parts: any filters (none too), any aggregate, any grouping and order, in many words.

What the test set keeps for itself: *combinations* of parts (no question of the training set has the same shape,
aggregate, grouping and kinds of filter), each said with at least one *wording* that training never shows.
"""

from composed.composer import Composer, Row

__all__ = ["Composer", "Row"]

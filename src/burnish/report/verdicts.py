"""What may be said of a difference."""


def verdict(interval: tuple[float, float] | None, *, lower_is_better: bool = False) -> str:
    """Whether a difference is one: better or worse only where its interval excludes no change."""
    if interval is None:
        return "too little to tell"
    if interval[0] <= 0 <= interval[1]:
        return "no clear difference"
    return "better" if (interval[0] > 0) != lower_is_better else "worse"

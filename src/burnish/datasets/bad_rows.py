"""Why a row cannot be used."""


class BadRowError(ValueError):
    """A row cannot be used; the message is the reason, without its place."""


class NothingToLearnError(BadRowError):
    """A row is well-formed, and there is nothing in it to learn from, such as an empty answer.

    Large files hold some. One of them is left out and reported; only a file of nothing else is an error.
    """

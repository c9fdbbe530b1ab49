"""Text from elsewhere on the way to a terminal.

File names, tensor names, keys of recipes, messages of chat templates and what models write can hold escape sequences
that move the cursor, rename the window or turn the reading direction. Whatever is printed passes through here.
"""

import unicodedata

_HIDING = ("Cc", "Cf", "Cs", "Zl", "Zp")
_KEPT = "\n\t\u00ad\u200c\u200d"
"""Of these: line breaks and tabs, soft hyphens, and the joiners that Persian, Hindi and emoji are written with."""


def printable(text: str) -> str:
    """Foreign text with nothing in it that hides or disguises.

    Control characters, direction overrides and lone surrogates become their escapes (`\\x1b`, `\\u202e`); line breaks,
    tabs and every ordinary letter stay.
    """
    return "".join(
        letter
        if letter in _KEPT or unicodedata.category(letter) not in _HIDING
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def duration(seconds: float) -> str:
    """`75.2` -> `1:15`, `3723` -> `1:02:03`, `4.31` -> `4.3 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

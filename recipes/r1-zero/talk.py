"""Small talk: requests without a right answer, each answered helpfully or curtly.

A base model has read both. What people like better is for a reward model to learn: see recipes/r1.
"""

import random

NAMES = (
    "Ana", "Ben", "Cora", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jan", "Kim", "Leo", "Mia", "Nils", "Olga",
    "Paul", "Rosa", "Sam", "Tina", "Uwe", "Vera", "Will", "Yara", "Zoe",
)  # fmt: skip
THINGS = ("tea", "soup", "bread", "music", "rain", "the sea", "a walk", "a book")

_HELPFUL = {
    "Greet": ("Hello {}, it is good to see you! How can I help?", "Good day {}, welcome! What can I do for you?"),
    "Thank": ("Thank you so much {}, that was very kind of you!", "Many thanks {}, I am glad that you helped!"),
    "Invite": (
        "Dear {}, would you like to join us for tea?",
        "Please come and visit us {}, we would be glad!",
    ),
    "Praise": ("I like {} very much, it makes the day better!", "There is little as good as {}, and you can share it!"),
}
_CURT = {
    "Greet": ("Yes {}.", "What {}."),
    "Thank": ("Fine {}.", "Ok {}."),
    "Invite": ("Come {}.", "No {}."),
    "Praise": ("No {}.", "Just {}."),
}
PROMPTS = tuple(f"{verb} {about}" for verb in _HELPFUL for about in (THINGS if verb == "Praise" else NAMES))
"""All requests, in a fixed order."""


def answered(prompt: str, draw: random.Random, *, helpful: bool) -> str:
    """An answer to one of the requests."""
    verb, _, about = prompt.partition(" ")
    return draw.choice((_HELPFUL if helpful else _CURT)[verb]).format(about)

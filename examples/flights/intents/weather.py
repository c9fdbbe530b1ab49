"""To be filled."""

from intents.intent import Intent

INTENTS: tuple[Intent, ...] = ()

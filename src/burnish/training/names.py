"""What the training loop leaves in its folder, by name; apart from the loop, so that a reader needs no PyTorch."""

EVENTS_FILE = "events.jsonl"
"""One object a step; only ever appended to."""
STATE_FILE = "state.safetensors"
"""The resumable state of an unfinished training."""

"""Which tokens end what a model writes: one reader for folders and GGUF files.

A file names the end of a text, and often the ends of turns as well. Base models name the former alone, although their
chat template ends a turn with another token; then the tokens that are known to end turns count, as in llama.cpp.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer as Backend

KNOWN_TURN_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|eom_id|>",
    "<end_of_utterance>",
    "<|END_OF_TURN_TOKEN|>",
    "<turn|>",
    "<|eot|>",
)
"""The first that a vocabulary has is the one that a GGUF file, which has room for one, is written with."""

# OpenAI's harmony ends a message with <|end|> and goes on with the next one of the same turn.
_HARMONY = frozenset({"<|return|>", "<|call|>"})


def stop_ids(backend: Backend, end_of_text: int | None, turn_ends: Iterable[int]) -> frozenset[int]:
    """The tokens that a file names as ends, and where it names no end of a turn, the known ones of the vocabulary."""
    named = {*turn_ends} | ({end_of_text} - {None})
    added = {token.content: i for i, token in backend.get_added_tokens_decoder().items()}
    known = [text for text in KNOWN_TURN_ENDS if text in added and not (text == "<|end|>" and added.keys() >= _HARMONY)]
    if named <= {end_of_text} and (end_of_text is None or backend.id_to_token(end_of_text) not in known):
        named |= {added[text] for text in known}
    return frozenset(stop for stop in named if stop is not None)

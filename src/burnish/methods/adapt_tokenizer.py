"""A trained model with another tokenizer: more tokens, in its embedding and output layer too; another chat template.

Notable choices:
- they are ordinary tokens, as Qwen3's `<think>` is: they may stand in what a user, a file or the model says, and judges
  read them; control tokens, which end a turn, come only from a chat template;
- each begins as the mean of the tokens of a text that says about the same, so that the model is not thrown off by it.
"""

from collections.abc import Mapping
from dataclasses import replace

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from burnish.errors import BurnishError
from burnish.nn.decoder import Decoder
from burnish.nn.vocabulary import with_new_rows
from burnish.text.chat import Message, encode_conversation
from burnish.text.tokenizer import Tokenizer


def add_tokens(decoder: Decoder, tokenizer: Tokenizer, tokens: Mapping[str, str]) -> tuple[Decoder, Tokenizer]:
    """A copy of the model and of the tokenizer with some more tokens.

    tokens: by each new one the text whose tokens its embedding begins as the mean of. Raises BurnishError as
    `with_tokens` does.
    """
    adapted, rows = with_tokens(tokenizer, tokens)
    try:
        return with_new_rows(decoder, rows), adapted
    except ValueError as error:
        raise BurnishError(str(error)) from error


def with_tokens(tokenizer: Tokenizer, tokens: Mapping[str, str]) -> tuple[Tokenizer, dict[int, list[int]]]:
    """The tokenizer with some more tokens, and by the id of each the tokens of its text.

    Raises BurnishError for a token that is there already, or a text that has no tokens.
    """
    backend = Backend.from_str(tokenizer.backend.to_str())
    for token in tokens:
        if backend.token_to_id(token) is not None:
            raise BurnishError(f"{token!r} is a token of {tokenizer.source} already; remove it")
    pieces = {token: tokenizer.encode(text) for token, text in tokens.items()}
    for token, old in pieces.items():
        if not old:
            raise BurnishError(f"{token!r}: got the text {tokens[token]!r}, which has no tokens; expected some words")
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])
    rows = {}
    for token, old in pieces.items():
        number = backend.token_to_id(token)
        assert number is not None
        rows[number] = old
    return replace(tokenizer, backend=backend), rows


def with_template(tokenizer: Tokenizer, template: str, source: str) -> Tokenizer:
    """The tokenizer with another chat template, of the file `source`.

    Raises BurnishError where it cannot write a chat, or ends an answer with no token of the tokenizer that ends a turn.
    """
    chat: list[Message] = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]
    adapted = replace(tokenizer, chat_template=template, named_templates={}, source=source)
    encode_conversation(adapted, chat)
    return replace(adapted, source=tokenizer.source)

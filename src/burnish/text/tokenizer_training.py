"""A tokenizer of one's own: byte-level BPE (Sennrich 2016, arXiv:1508.07909; Radford 2019) trained by `tokenizers`.

Notable choices:
- the vocabulary begins with the control tokens and the 256 bytes, so that any text can be written and none is unknown;
- text is cut as SmolLM's tokenizer cuts it, each digit apart: a rule that llama.cpp knows, so that a GGUF file of the
  model works;
- the tokens of a chat are there from the start, whether or not the first corpus has chats: SFT that follows needs no
  new rows in the embedding.
"""

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from burnish.errors import DataError
from burnish.text.gguf_vocabulary import PRE_TOKENIZERS
from burnish.text.tokenizer import Tokenizer

CONTROL_TOKENS = ("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
"""What ends a document, fills up a batch elsewhere, begins a turn of a chat and ends it."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""OpenAI's chat markup, which most small models have."""

_BYTES = 256
_CUT = "smollm"


def least_vocabulary(special_tokens: Sequence[str] = ()) -> int:
    """The smallest vocabulary: the control tokens and the bytes."""
    return len(CONTROL_TOKENS) + len(special_tokens) + _BYTES


def token_problem(special_tokens: Sequence[str]) -> str | None:
    """What is wrong with further control tokens; None where nothing is."""
    for number, token in enumerate(special_tokens):
        if not token.strip() or token != token.strip() or len(token) < 3:
            return f"{token!r} is no name of a control token; expected a text like '<|tool|>', without spaces around it"
        if token in CONTROL_TOKENS or token in special_tokens[:number]:
            return f"{token!r} is there already"
    return None


def train_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    chat_template: str | None = CHATML,
    min_frequency: int = 2,
) -> Tokenizer:
    """Train a tokenizer on texts; the same texts in any order give the same vocabulary.

    vocab_size: tokens at most; fewer where the texts have no more pairs that occur `min_frequency` times.
    special_tokens: control tokens beside those of `CONTROL_TOKENS`. chat_template: Jinja, None for none.
    Raises DataError where the vocabulary is smaller than `least_vocabulary`, or a control token is not one.
    """
    problem = token_problem(special_tokens)
    if vocab_size < least_vocabulary(special_tokens):
        problem = f"vocab_size is {vocab_size}; expected at least {least_vocabulary(special_tokens)}"
    if problem is not None:
        raise DataError(problem)
    backend = Backend(models.BPE())
    backend.pre_tokenizer = PRE_TOKENIZERS[_CUT].build()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[
            AddedToken(token, special=True, normalized=False) for token in (*CONTROL_TOKENS, *special_tokens)
        ],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    end_of_text, padding, _, end_of_turn = range(len(CONTROL_TOKENS))  # they have the first ids
    return Tokenizer(
        backend=backend,
        source="the tokenizer trained on the corpus",
        eos_id=end_of_text,
        pad_id=padding,
        stop_ids=frozenset({end_of_text, end_of_turn}),
        chat_template=chat_template,
    )

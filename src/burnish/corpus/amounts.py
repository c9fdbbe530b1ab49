"""How much is enough: what published work trained on, and what to expect of less.

Continued pre-training of published work read from hundreds of millions to billions of tokens of a domain (2004.10964:
2 to 8 billion in each of four domains); instruction tuning 1,000 rows that were chosen by hand (arXiv:2305.11206) to
13,000 that were written for it (arXiv:2203.02155), and more that models wrote.
"""

FEW_TOKENS = 100_000_000
FEW_ROWS = 1_000
CHARACTERS_PER_TOKEN = 4.0
"""Of English prose, by the tokenizers of today; code and other languages have fewer."""


def few_tokens(tokens: float) -> str | None:
    """What to expect of continued pre-training on so many tokens; None where it is as much as published work used."""
    if tokens >= FEW_TOKENS:
        return None
    return (
        f"about {_rounded(tokens)} tokens to read: published continued pre-training uses hundreds of millions. Expect "
        "the vocabulary and the style of the documents, and those facts that many of them repeat; a fact that stands "
        "in one place is better looked up (burnish index, burnish chat --retrieve)"
    )


def few_rows(rows: int) -> str | None:
    """What to expect of supervised fine-tuning on so many rows; None where it is as many as published work used."""
    if rows >= FEW_ROWS:
        return None
    return (
        f"{rows:,} rows to learn from are few: published instruction tuning uses 1,000 to 10,000 and more. Expect the "
        "form of an answer, hardly facts; add documents, or a teacher that words what is there in further ways"
    )


def _rounded(tokens: float) -> str:
    for size, name in ((1e6, "million"), (1e3, "thousand")):
        if tokens >= size:
            return f"{tokens / size:.3g} {name}"
    return f"{tokens:.0f}"

"""Which of a teacher's rows are kept: those that their chunk bears out, that are no repetition, and that a judge likes.

| filter | keeps a row if | |
| --- | --- | --- |
| `grounding` | that share of the answer's words stands in the chunk, and every number | words of four letters up |
| `encoder` | its vector is that like the chunk's | cosine |
| `helped_by` | a model gives the answer a higher probability a token with the chunk than without | log-ratio, in nats |
| `near_duplicates` | no earlier row is that similar | MinHash over runs of three words |
| `judge` | a model rates it that high | arXiv:2306.05685, single answers |
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from burnish.generation.answer import Answer
from burnish.methods.settings import Strict
from burnish.runs.run import Run
from burnish.synthesis.checks import Unused
from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.rows import Pair
from burnish.synthesis.teachers import LoadModel, TextTeacher

if TYPE_CHECKING:
    import polars as pl

    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

CRITERION = "Rate whether the answer is right, complete, and clear to somebody who does not see the text it is from."
_WORD = re.compile(r"[^\W\d_]{4,}|[\u3040-\u9fff]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


Written = tuple[Pair, DocumentChunk]
"""A teacher's row, with the chunk that it is about."""


class JudgeFilter(Strict):
    """Rows that the teacher itself rates too low go."""

    min_score: float = Field(0.6, ge=0.1, le=1, description="lowest rating that is kept, of 0.1 to 1")
    criterion: str = Field(CRITERION, min_length=1, description="what makes a row a good one")


class Filters(Strict):
    """What a teacher's rows have to pass."""

    grounding: float = Field(
        0.6, ge=0, le=1, description="share of an answer's words that stand in its chunk; every number has to"
    )
    encoder: str | None = Field(
        None,
        description="encoder by whose vectors question and answer have to be like the chunk: its folder, or package:…",
    )
    similarity: float = Field(0.4, ge=-1, le=1, description="with `encoder`: smallest cosine")
    near_duplicates: float | None = Field(
        0.8, gt=0, le=1, description="Jaccard similarity from which a row repeats an earlier one; null keeps all"
    )
    helped_by: str | None = Field(
        None, description="model that has to find the answer more probable with the chunk than without; slow"
    )
    min_gain: float = Field(0.0, description="with `helped_by`: by how much, in nats a token")
    judge: JudgeFilter | None = Field(None, description="ask the teacher for a rating of every row")


def grounded(pair: Pair, chunk: DocumentChunk, share: float) -> str | None:
    """Why an answer is not borne out by its chunk; None where it is.

    Read is what a person would check: the numbers, and the words that carry meaning. A row that shows the text in its
    question is measured by what it adds.
    """
    text = chunk.text.casefold()
    answer = (
        pair.answer
        if not pair.messages
        else " ".join(turn["content"] for turn in pair.messages if turn["role"] == "assistant")
    )
    there = set(_NUMBER.findall(text))
    missing = [number for number in _NUMBER.findall(answer) if number not in there and len(number) > 1]
    if missing and pair.task_type != "reasoning":
        return f"the number {missing[0]} is not in the text"
    words = set(_WORD.findall(text))
    said = _WORD.findall(answer.casefold())
    found = sum(word in words for word in said)
    if said and found < share * len(said):
        return f"{found} of {len(said)} words are in the text"
    return None


def ground(pairs: Sequence[Written], share: float) -> tuple[list[Written], list[Unused]]:
    """The rows that their chunk bears out."""
    faults = [grounded(pair, chunk, share) if pair.task_type != "classification" else None for pair, chunk in pairs]
    kept = [one for one, fault in zip(pairs, faults, strict=True) if fault is None]
    gone = [
        Unused(pair, "not grounded", fault) for (pair, _), fault in zip(pairs, faults, strict=True) if fault is not None
    ]
    return kept, gone


def similar(pairs: Sequence[Written], encoder: str, least: float) -> tuple[list[Written], list[Unused]]:
    """The rows whose question and answer, as a vector, have at least that cosine with their chunk.

    Raises BurnishError where there is no such encoder.
    """
    from burnish.corpus.embeddings import Encoder

    if not pairs:
        return [], []
    embedder = Encoder(encoder).embedder
    chunks = list(dict.fromkeys(chunk.text for _, chunk in pairs))
    places = {text: at for at, text in enumerate(chunks)}
    of_chunks = embedder.embed(chunks, "document")
    of_rows = embedder.embed([f"{pair.question}\n{pair.answer}" for pair, _ in pairs], "document")
    cosines = [float(row @ of_chunks[places[chunk.text]]) for row, (_, chunk) in zip(of_rows, pairs, strict=True)]
    kept = [one for one, cosine in zip(pairs, cosines, strict=True) if cosine >= least]
    gone = [
        Unused(pair, "unlike the text", f"cosine {cosine:.2f}")
        for (pair, _), cosine in zip(pairs, cosines, strict=True)
        if cosine < least
    ]
    return kept, gone


def without_near_duplicates(pairs: Sequence[Written], threshold: float) -> tuple[list[Written], list[Unused]]:
    """Rows without those that nearly repeat an earlier one, as preparation finds near duplicates of documents."""
    import polars as pl

    from burnish.corpus.preparation.steps.clusters import components
    from burnish.corpus.preparation.steps.near_duplicates import MinHash

    if not pairs:
        return [], []
    step = MinHash.model_validate({"threshold": threshold, "ngram": 3})
    bands = step.keys(pl.Series("text", [f"{pair.question}\n{pair.answer}" for pair, _ in pairs], dtype=pl.String))
    first, second = _edges(bands)
    root = components(len(pairs), first, second)
    kept = [one for at, one in enumerate(pairs) if root[at] == at]
    gone = [
        Unused(pair, "near duplicate", pairs[root[at]][0].question[:80])
        for at, (pair, _) in enumerate(pairs)
        if root[at] != at
    ]
    return kept, gone


def _edges(
    bands: "pl.Series",
) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]]", "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """Pairs of rows that share a band: the first that has it, and each later one."""
    seen: dict[int, int] = {}
    first, second = [], []
    for row, of_row in enumerate(bands.to_list()):
        for band in of_row or ():
            if (before := seen.setdefault(band, row)) != row:
                first.append(before)
                second.append(row)
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)


def helped(pairs: Sequence[Written], load: LoadModel, min_gain: float) -> tuple[list[Written], list[Unused]]:
    """The rows whose answer a model finds more probable with the chunk before the question than without it.

    What a model knows as well without the text is no lesson of that text; what the text makes less probable is wrong.
    """
    if not pairs:
        return [], []
    decoder, tokenizer = load()
    with_text = _logps(decoder, tokenizer, [(f"{chunk.text}\n\n{pair.question}", pair.answer) for pair, chunk in pairs])
    without = _logps(decoder, tokenizer, [(pair.question, pair.answer) for pair, _ in pairs])
    gains = [after - before for after, before in zip(with_text, without, strict=True)]
    kept = [one for one, gain in zip(pairs, gains, strict=True) if gain > min_gain]
    gone = [
        Unused(pair, "no better with the text", f"{gain:+.2f} nats a token")
        for (pair, _), gain in zip(pairs, gains, strict=True)
        if gain <= min_gain
    ]
    return kept, gone


def _logps(decoder: "Decoder", tokenizer: "Tokenizer", asked: Sequence[tuple[str, str]]) -> list[float]:
    """The mean log-probability of an answer's tokens behind its prompt; of one that is too long the end."""
    from burnish.methods.sequences import answer_logps
    from burnish.text.chat import encode_prompt

    room = tokenizer.context_length or decoder.config.max_positions
    answers = [tokenizer.encode(answer)[: room // 2] for _, answer in asked]
    prompts = [
        encode_prompt(tokenizer, [{"role": "user", "content": prompt}])[-(room - len(answer)) :]
        for (prompt, _), answer in zip(asked, answers, strict=True)
    ]
    return [float(part.mean()) for part in answer_logps(decoder, prompts, answers)]


def liked(
    pairs: Sequence[Written], settings: JudgeFilter, teacher: TextTeacher, run: Run
) -> tuple[list[Written], list[Unused]]:
    """The rows that a judge rates high enough; a reply without a rating counts as one in the middle."""
    from burnish.rewards.rating import rating, rating_question

    answers = [Answer([{"role": "user", "content": pair.question}], pair.answer) for pair, _ in pairs]
    asked = [rating_question(answer, settings.criterion) for answer in answers]
    ratings = [rating(reply or "") for reply in teacher.answers(asked, run, title="judge")]
    kept, gone = [], []
    for one, rated in zip(pairs, ratings, strict=True):
        if rated.score >= settings.min_score:
            kept.append(one)
        else:
            gone.append(Unused(one[0], "rated low", f"{rated.score:.1f} ({rated.reason})"))
    return kept, gone

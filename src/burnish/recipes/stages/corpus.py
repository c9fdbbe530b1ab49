"""corpus: documents to clean, deduplicated token windows, apart for training and held out."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from burnish.corpus.arrangement import Arrangement
from burnish.corpus.mixture import MAX_SOURCES, Mixture, check_number
from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.heldout_text import SCORED_TOKENS
from burnish.recipes.schema.new_tokenizer import NewTokenizer, TokenizerKey
from burnish.recipes.schema.stage import (
    BASE_MODEL,
    Metrics,
    ModelReference,
    Reference,
    ReferenceKind,
    StageConfig,
    StageContext,
)

if TYPE_CHECKING:
    from burnish.corpus.arrangement import Surprise
    from burnish.corpus.building import CorpusReport
    from burnish.corpus.documents import Document
    from burnish.corpus.folders import Skipped
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.corpus.windows import Windows

STDLIB = "stdlib"
"""As a document: the prose that Python carries, see `burnish.corpus.prose`."""
_SCORED_WINDOWS = 1024
"""Windows that are in memory while a model scores them."""
TextReference = Annotated[str, Reference("documents", words=(STDLIB,))]


class ReadingOrder(Arrangement):
    """In which order the text is read: by chance, a curriculum by a figure, or related documents side by side."""

    model: ModelReference | None = Field(None, description="whose perplexity decides, for `by: perplexity`: base")

    def problem(self) -> tuple[str, str] | None:
        if self.by == "perplexity" and self.model is None:
            return "by", "got perplexity, and no model whose it is: set order.model, for example to base"
        if self.by != "perplexity" and self.model is not None:
            return "model", f"got '{self.model}'; by {self.by} no model is asked: remove it"
        return super().problem()


class CorpusStage(StageConfig):
    """Reads documents of the domain, and general text to replay against forgetting.

    Of a folder all that can be read is; every other file is counted and named with its reason.
    """

    type: Literal["corpus"] = Field("corpus", description="corpus")
    documents: list[TextReference] = Field(
        min_length=1, description="domain documents: files, folders or patterns of .txt, .md, .jsonl, .parquet"
    )
    general: list[TextReference] = Field(
        [],
        description="general text, replayed while training on the domain; `stdlib` is the prose of Python's own help",
    )
    text_key: str = Field("text", description="key of the text in JSONL and Parquet rows")
    id_key: str = Field("id", description="key of the document's name in JSONL and Parquet rows")
    window: int = Field(1024, ge=2, description="longest sequence, in tokens; longer documents are cut into pieces")
    min_characters: int = Field(50, ge=0, description="shorter documents are removed, as headings and leftovers are")
    heldout: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the tokens kept for measuring perplexity; 0 keeps none. Large documents are cut at "
        "paragraphs for it",
    )
    tokenizer: TokenizerKey = Field(
        BASE_MODEL,
        description="model, or folder of a tokenizer, whose tokens the text becomes; or the settings of a new one, "
        "which is trained on the text, for a `pretrain` stage: `{vocab_size: 8192}`",
    )

    mixture: Mixture | None = Field(
        None, description="how much is read of each source, a document's `source`; as much as there is if left out"
    )
    order: ReadingOrder = Field(ReadingOrder.model_validate({}), description="in which order the text is read")

    produces: ClassVar[dict[ReferenceKind, str]] = {"corpus": "corpus"}

    def fingerprints(self, folder: Path) -> dict[str, str]:
        if STDLIB not in (*self.documents, *self.general):
            return {}
        from burnish.corpus.prose import stdlib_documents

        texts = "\0".join(document.text for document in stdlib_documents())
        return {STDLIB: hashlib.sha256(texts.encode()).hexdigest()}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        if isinstance(self.tokenizer, NewTokenizer):
            for path, text in self.tokenizer.contradictions():
                yield ("tokenizer", *path), text
        for key, of_key in (("mixture", self.mixture), ("order", self.order)):
            problem = None if of_key is None else of_key.problem()
            if problem is not None:
                yield (key, problem[0]), problem[1]

    def check(self, context: StageContext) -> None:
        if isinstance(self.tokenizer, NewTokenizer):
            self.tokenizer.check(context)
        sources: set[str] = set()
        for name, group in self._groups(context).items():
            for document in group:
                if name == "domain" and len(sources) <= MAX_SOURCES:
                    sources.add(document.source)
        if self.mixture is not None:
            check_number(sources)
            self.mixture.shares(dict.fromkeys(sources, 1.0))

    def work(self, context: StageContext) -> Work:
        return Work()

    def expected(self, context: StageContext) -> "TokenCorpus | None":
        """A corpus of about the size of the stage's; None where not even what a token is can be known yet."""
        from burnish.corpus.building import cleaning_steps
        from burnish.corpus.sketch import sketched

        tokenizer = (
            partial(self.tokenizer.train, context=context)
            if isinstance(self.tokenizer, NewTokenizer)
            else context.tokenizer(self.tokenizer)
        )
        if tokenizer is None:
            return None
        return sketched(
            self._groups(context),
            tokenizer,
            window=self.window,
            heldout_fraction=self.heldout,
            steps=cleaning_steps(min_characters=self.min_characters),
            mixture=self.mixture,
            arrangement=self.order,
        )

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.building import SKIPPED_FILE, build_corpus, cleaning_steps
        from burnish.corpus.token_corpus import TOKENIZER_FOLDER

        groups = self._groups(context)
        folder = context.folder / self.produces["corpus"]
        corpus, report = build_corpus(
            {name: _told(name, group, context) for name, group in groups.items()},
            partial(self.tokenizer.train, context=context)
            if isinstance(self.tokenizer, NewTokenizer)
            else context.load_tokenizer(self.tokenizer),
            folder,
            window=self.window,
            heldout_fraction=self.heldout,
            mixture=self.mixture,
            arrangement=self.order,
            surprise=self._surprise(context),
            steps=cleaning_steps(min_characters=self.min_characters),
            skipped={name: group.skipped for name, group in groups.items()},
        )
        new = isinstance(self.tokenizer, NewTokenizer)
        if new:
            context.display.say(
                f"  a tokenizer of {corpus.vocab_size:,} tokens trained on it: {folder / TOKENIZER_FOLDER}"
            )
        counts = corpus.counts()
        for name, of_group in counts.items():
            context.display.say(f"  {name}: {_kept(of_group, report, name)}")
        if any(report.skipped.values()):
            context.display.say(f"  files that were not read are all named in {folder / SKIPPED_FILE}")
        sources = _sources(corpus)
        for name, (tokens, share) in sources.items():
            context.display.say(f"  source {name}: {tokens:,} tokens, {share:.1%} of what is read")
        return {
            "counts": counts,
            **({"sources": sources} if sources else {}),
            **({"vocab_size": corpus.vocab_size} if new else {}),
            "removed": report.removed,
            "cut_for_heldout": report.cut,
            "skipped": {name: _skipped(group.skipped) for name, group in groups.items() if group.skipped},
        }

    def _surprise(self, context: StageContext) -> "Surprise | None":
        """What scores windows where they are ordered by it."""
        if self.order.by != "perplexity":
            return None
        from burnish.evaluation.perplexity import surprises

        def losses(windows: "Windows") -> list[float]:
            decoder, _ = context.load(self.order.model)
            found: list[float] = []
            for start in range(0, len(windows), _SCORED_WINDOWS):
                numbers = range(start, min(start + _SCORED_WINDOWS, len(windows)))
                scored = surprises(decoder, [windows[one] for one in numbers], micro_batch_tokens=SCORED_TOKENS)
                found += [nats / max(tokens, 1) for nats, tokens in scored]
            return found

        return losses

    def _groups(self, context: StageContext) -> "dict[str, _Group]":
        """What is read of each group; nothing is before it is gone through."""
        score_key = self.order.score_key if self.order.by == "score" else None
        keys = {"text_key": self.text_key, "id_key": self.id_key, "score_key": score_key}
        groups = {}
        for name, references in {"domain": self.documents, "general": self.general}.items():
            if references:
                written = [reference for reference in references if reference != STDLIB]
                groups[name] = _Group(context.paths(written) if written else [], STDLIB in references, keys)
        return groups


@dataclass
class _Group:
    """The documents of a group; once they have been gone through, their number and the files that were not read."""

    paths: Sequence[Path]
    stdlib: bool
    keys: Mapping[str, Any]
    skipped: "list[Skipped]" = field(default_factory=list)
    count: int = 0

    def __iter__(self) -> "Iterator[Document]":
        from burnish.corpus.documents import each_document
        from burnish.corpus.prose import stdlib_documents

        self.count = 0
        self.skipped.clear()
        written = each_document(self.paths, **self.keys, skipped=self.skipped) if self.paths else ()
        for document in chain(written, stdlib_documents() if self.stdlib else ()):
            self.count += 1
            yield document

    def not_read(self) -> str:
        """Lines about the files that were not read, or nothing."""
        from burnish.corpus.folders import describe

        if not self.skipped:
            return ""
        lines = describe(self.skipped).replace("\n", "\n      ")
        return f"; {len(self.skipped):,} files and folders were not read:\n      {lines}"


def _told(name: str, group: _Group, context: StageContext) -> "Iterator[Document]":
    """The documents of a group; how many there are, and what was not read, is said behind the last."""
    yield from group
    context.display.say(f"  {name}: {_documents(group.count)}{group.not_read()}")


def _sources(corpus: "TokenCorpus") -> dict[str, tuple[int, float]]:
    """Of each source its tokens and its share of what is read of the domain; nothing without a mixture.

    Raises DataError where the mixture names other sources than there are.
    """
    from burnish.corpus.building import source_sizes
    from burnish.corpus.mix import DOMAIN

    if corpus.mixture is None:
        return {}
    sizes = source_sizes(corpus.train[DOMAIN])
    shares = corpus.mixture.shares({name: float(size) for name, size in sizes.items()})
    return {name: (size, shares[name]) for name, size in sizes.items()}


def _documents(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"


def _kept(counts: Mapping[str, Mapping[str, int]], report: "CorpusReport", group: str) -> str:
    """What became of a group's documents, in one line."""
    train, heldout = counts["train"]["tokens"], counts["heldout"]["tokens"]
    removed = report.removed[group]
    parts = [f"{train:,} tokens to train on"]
    if heldout:
        share = heldout / (train + heldout)
        pieces = counts["heldout"]["documents"]
        cut = f", {_documents(report.cut[group])} cut for it" if report.cut[group] else ""
        parts.append(f"{heldout:,} ({share:.1%}) held out in {pieces} piece{'' if pieces == 1 else 's'}{cut}")
    else:
        parts.append("none held out")
    if removed:
        parts.append(f"{_documents(removed)} removed as too short or twice there")
    return ", ".join(parts)


def _skipped(skipped: "list[Skipped]") -> dict[str, dict[str, Any]]:
    """Files that were not read by reason: how many, and the names of the first."""
    from burnish.corpus.folders import EXAMPLES, counts, shown_name

    return {
        kind: {
            "count": count,
            "files": [shown_name(one.name) for one in skipped if one.kind == kind][:EXAMPLES],
            "advice": next(one.advice for one in skipped if one.kind == kind),
        }
        for kind, count in counts(skipped).items()
    }

"""The steps that settings may name."""

from typing import Annotated

from pydantic import Field

from burnish.corpus.preparation.steps.anonymize import Anonymize
from burnish.corpus.preparation.steps.basic import ExactDuplicates, MinCharacters, Normalize
from burnish.corpus.preparation.steps.classify import Classifier
from burnish.corpus.preparation.steps.content import ContentFilter
from burnish.corpus.preparation.steps.decontaminate import Decontaminate
from burnish.corpus.preparation.steps.embedding_duplicates import EmbeddingDuplicates
from burnish.corpus.preparation.steps.fix_text import FixText
from burnish.corpus.preparation.steps.language import Language
from burnish.corpus.preparation.steps.near_duplicates import MinHash
from burnish.corpus.preparation.steps.perplexity import Perplexity
from burnish.corpus.preparation.steps.quality import C4Quality, FineWebQuality, GopherQuality
from burnish.corpus.preparation.steps.repetition import GopherRepetition
from burnish.corpus.preparation.steps.simhash import SimHash

Step = Annotated[
    Normalize
    | FixText
    | MinCharacters
    | ExactDuplicates
    | MinHash
    | SimHash
    | EmbeddingDuplicates
    | GopherQuality
    | GopherRepetition
    | C4Quality
    | FineWebQuality
    | Language
    | ContentFilter
    | Classifier
    | Perplexity
    | Decontaminate
    | Anonymize,
    Field(discriminator="type"),
]

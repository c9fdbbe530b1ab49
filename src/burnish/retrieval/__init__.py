"""Retrieval: a corpus as a local index, and the passages of it that answer a question.

index = Index.build(["docs"], "runs/docs-index")
for hit in Index.open("runs/docs-index").search("How do I cancel a task?", k=3):
    print(hit.score, hit.document, hit.heading, hit.text)
"""

from burnish.retrieval.index import Changes, Hit, Index
from burnish.retrieval.settings import IndexSettings, Ranking

__all__ = ["Changes", "Hit", "Index", "IndexSettings", "Ranking"]

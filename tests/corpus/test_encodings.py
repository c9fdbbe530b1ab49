"""Encodings that are told from the bytes of text."""

import pytest

from burnish.corpus.encodings import decoded

TEXTS = {
    "cp1252": "Die Größe der Bäume überrascht – sagte der „Förster“ und prüfte die Äste noch einmal sehr genau. " * 2,
    "cp1251": "Документы готовят к обучению в несколько шагов, и каждый шаг говорит, что он сделал с ними. " * 2,
    "koi8-r": "Документы готовят к обучению в несколько шагов, и каждый шаг говорит, что он сделал с ними. " * 2,
    "shift-jis": "文書は学習の前に準備されます。各段階は何をしたかを報告します。日本語の文章です。" * 2,
    "gb18030": "文档在训练之前需要准备。每一步都会报告它所做的事情。这是中文的文字。" * 2,
    "utf-16": "Text with a mark, naïve.",
    "utf-16-le": "Text without a mark, naive.",
    "utf-16-be": "Text without a mark, naive.",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_text_is_read_whatever_its_encoding(encoding: str) -> None:
    found = decoded(TEXTS[encoding].encode(encoding))
    assert found is not None
    assert found[0] == TEXTS[encoding]


@pytest.mark.parametrize("data", [bytes(range(256)) * 20, b"\x00\x01\x02\xff" * 100, bytes(5000), b"\x01\x00" * 90])
def test_what_is_no_text_is_none(data: bytes) -> None:
    assert decoded(data) is None

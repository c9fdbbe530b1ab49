"""Hashes that texts share if they differ in case and white space only."""

from burnish.corpus.deduplicate import content_hash


def test_case_and_white_space_do_not_make_a_difference() -> None:
    assert content_hash("The  same\ntext ") == content_hash("the same TEXT")
    assert content_hash("the same text") != content_hash("thesametext")
    assert content_hash("a") != content_hash("a", purpose=b"heldout")

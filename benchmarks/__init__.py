"""Burnish beside its peers: the two sides in turn, each in a fresh process. See docs/benchmarks.md."""

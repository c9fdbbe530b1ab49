"""Burnish: from open language-model weights and your own documents to an aligned, domain-specific model."""

__version__ = "0.1.0"

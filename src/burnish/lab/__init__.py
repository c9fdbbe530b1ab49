"""The experiments behind the claims: each a command that prints tables, draws plots and keeps its numbers."""

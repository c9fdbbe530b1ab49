"""What an answer is worth: verifiers that judge a completion against the row it was asked for.

Importing this package loads no torch, so that a verifier starts fast in a process of its own.
"""

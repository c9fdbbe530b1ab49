"""Calls of tools in what a model wrote: each family has its own way to write them.

values     JSON, Python's and Gemma's notation of names and arguments, read without running anything
formats    the ways of the families: where calls begin, where they end, what stands between
detection  which of these a model's chat template writes, and the text around a call's arguments
reading    from pieces of text, as they come, to text and whole calls
"""

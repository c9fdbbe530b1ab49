"""A model that calls tools: what a tool is, where tools come from, and the loop in which they are called.

tool       a tool, the limits of its calls, and what came of one
functions  Python functions as tools, by their type hints and docstrings; a file of them
mcp        tools of other programs, over the Model Context Protocol
database   a database as a tool, through the sandbox alone
episode    one conversation's calls: what a model wrote becomes calls, results, the next prompt
turn       one turn of the model in it, token by token
agent      an episode with an engine: questions in, what happens out
traces     what happened as rows that supervised fine-tuning reads

What a tool returns is data: it stands in the conversation as a tool's message, its text cannot be a control token, and
calls are read of what the model itself has written alone.
"""

"""The model behind an HTTP interface that speaks OpenAI's.

These modules alone import Starlette, uvicorn and prometheus-client with themselves; whoever uses them
imports them in a function, after `burnish.serving.api.installed.require`.
"""

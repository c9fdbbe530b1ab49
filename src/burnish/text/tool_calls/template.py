"""A chat template that carries tools, for models whose own does not: ChatML, with calls as Hermes and Qwen write them.

It is short, so that a small model reads few tokens: each tool is a line of JSON behind the system prompt.
"""

from dataclasses import replace

from burnish.errors import CheckpointError
from burnish.text.tokenizer import Tokenizer

_CONTROLS = ("<|im_start|>", "<|im_end|>")
TOOLS_TEMPLATE = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- 'Tools:' }}
    {%- for tool in tools %}{{- '\\n' + (tool.function | tojson) }}{%- endfor %}
    {{- '\\nA call: <tool_call>{"name": NAME, "arguments": {}}</tool_call><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '<tool_call>{"name": "' + call.function.name + '", "arguments": ' }}
            {{- (call.function.arguments | tojson) + '}</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>' + message.content + '</tool_response><|im_end|>\\n' }}
    {%- elif not (message.role == 'system' and loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


def with_tools_template(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with this template in place of its own.

    Raises CheckpointError where its vocabulary lacks ChatML's control tokens.
    """
    ids = {text: i for text in _CONTROLS if (i := tokenizer.backend.token_to_id(text)) in tokenizer.control_ids}
    missing = [text for text in _CONTROLS if text not in ids]
    if missing:
        raise CheckpointError(
            f"{tokenizer.source}: has no control token {missing[0]}, which the template `tools` is written with; name "
            "a Jinja file with the model's own control tokens instead"
        )
    stops = frozenset([*tokenizer.stop_ids, *([end] if (end := ids[_CONTROLS[1]]) is not None else [])])
    return replace(tokenizer, chat_template=TOOLS_TEMPLATE, named_templates={}, stop_ids=stops)


def with_template(tokenizer: Tokenizer, template: str, source: str) -> Tokenizer:
    """The tokenizer with another chat template. source: its file, which errors name."""
    from burnish.text.chat import Message, encode_conversation

    changed = replace(tokenizer, chat_template=template, named_templates={})
    chat: list[Message] = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]
    encode_conversation(replace(changed, source=source), chat)  # raises where it cannot write a chat
    return changed

"""Chat templates of this project's own, with the constructs that the templates of the model families are made of.

Their control tokens are those of the vocabulary that the tests use: `<|im_start|>` and `<|im_end|>`.
"""

CHATML = """{% for message in messages %}
{% if loop.first and message['role'] != 'system' %}
<|im_start|>system
Answer briefly.<|im_end|>
{% endif %}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""

# Headers between tokens, the date, tools in the first user turn, results of tools from a role of their own.
LLAMA3_STYLE = """{%- macro header(role) -%}
    {{ '<|im_start|>' ~ role ~ '<|im_end|>\\n\\n' }}
{%- endmacro -%}
{{- bos_token }}
{%- set today = strftime_now('%d %B %Y') if strftime_now is defined else '?' %}
{%- if messages[0].role == 'system' %}
    {%- set instructions, messages = messages[0].content | trim, messages[1:] %}
{%- else %}
    {%- set instructions = '' %}
{%- endif %}
{{- header('system') }}
{%- if tools is not none %}{{- 'Environment: ipython\\n' }}{%- endif %}
{{- 'Today: ' + today + '\\n\\n' + instructions + '<|im_end|>' }}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception('one call at a time') }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- header('assistant') }}
        {{- '{"name": "' ~ call.name ~ '", "parameters": ' ~ call.arguments | tojson ~ '}<|im_end|>' }}
    {%- elif message.role in ('tool', 'ipython') %}
        {{- header('ipython') }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- '<|im_end|>' }}
    {%- elif message.role == 'user' and loop.first and tools %}
        {{- header('user') }}
        {{- 'Call one of these functions if it helps.\\n' }}
        {%- for tool in tools %}{{- tool | tojson(indent=4) + '\\n\\n' }}{%- endfor %}
        {{- message.content | trim + '<|im_end|>' }}
    {%- else %}
        {{- header(message.role) + message.content | trim + '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- header('assistant') }}{%- endif %}"""

# Roles that must alternate, the system's text in the last user turn, calls and results in brackets.
MISTRAL_STYLE = """{%- set ns = namespace(expected='user', asked=0) -%}
{%- set system = messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | join('\\n\\n') -%}
{%- set n_users = messages | selectattr('role', 'eq', 'user') | list | length -%}
{{ bos_token }}
{%- for message in messages -%}
    {%- if message.role == 'system' or (message.role == 'assistant' and message.tool_calls is defined) -%}
        {%- if message.tool_calls -%}
            {{- '[TOOL_CALLS] [' -}}
            {%- for call in message.tool_calls -%}
                {{- call.function | tojson + (', ' if not loop.last else ']') -}}
            {%- endfor -%}
            {{- eos_token -}}
        {%- endif -%}
        {%- continue -%}
    {%- elif message.role == 'tool' -%}
        {{- '[TOOL_RESULTS] ' + {'content': message.content} | tojson + ' [/TOOL_RESULTS]' -}}
        {%- continue -%}
    {%- endif -%}
    {%- if message.role != ns.expected -%}
        {{- raise_exception('after ' ~ loop.index0 ~ ' messages comes ' ~ ns.expected ~ ', not ' ~ message.role) -}}
    {%- endif -%}
    {%- if message.role == 'user' -%}
        {%- set ns.asked = ns.asked + 1 -%}
        {%- if tools and ns.asked == n_users -%}
            {{- '[AVAILABLE_TOOLS] ' + tools | tojson + ' [/AVAILABLE_TOOLS]' -}}
        {%- endif -%}
        {{- '[INST] ' + (system + '\\n\\n' if system and ns.asked == 1 else '') + message.content + ' [/INST]' -}}
        {%- set ns.expected = 'assistant' -%}
    {%- else -%}
        {{- ' ' + message.content | trim + eos_token -}}
        {%- set ns.expected = 'user' -%}
    {%- endif -%}
{%- endfor -%}"""

# No role for the system: its text goes before the first user's, or is refused where nobody asks anything.
GEMMA_STYLE = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages | length < 2 -%}{{ raise_exception('a system message alone is no conversation') }}{%- endif -%}
    {%- set content = messages[0]['content'] -%}
    {%- set before = content if content is string else content[0]['text'] -%}
    {%- set before, turns = before | trim + '\\n\\n', messages[1:] -%}
{%- else -%}
    {%- set before, turns = '', messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 is even) -%}
        {{ raise_exception('roles must alternate: user, assistant, user, ...') }}
    {%- endif -%}
    {{ '<|im_start|>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' -}}
    {{ before if loop.first -}}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {%- for part in message['content'] if part['type'] == 'text' -%}{{ part['text'] | trim }}{%- endfor -%}
    {%- endif -%}
    {{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>model\\n' }}{%- endif -%}"""

# Tools in XML, calls in XML, results of several tools in one turn of the user, reasoning in the last turn alone.
QWEN_STYLE = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- '# Tools\\n<tools>' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_question=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- set place = messages | length - 1 - loop.index0 %}
    {%- if ns.searching and message.role == 'user' and not message.content.startswith('<result>') %}
        {%- set ns.searching, ns.last_question = false, place %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set thought = message.reasoning_content if message.reasoning_content is string else '' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if thought and loop.index0 > ns.last_question %}
            {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n' }}
        {%- endif %}
        {{- message.content or '' }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n' if (loop.first and message.content) or not loop.first }}
            {%- set call = call.function if call.function else call %}
            {{- '<call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<result>\\n' + message.content + '\\n</result>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# Answers marked for training, functions described by a macro, pages of documents, a turn left out by `break`.
MARKED_STYLE = """{%- macro parameters(properties, required) %}
    {%- for name, schema in properties.items() | sort %}
        {{- name ~ ('' if name in required else '?') ~ ': ' ~ schema.get('type', 'any') ~ (', ' if not loop.last) }}
    {%- endfor %}
{%- endmacro %}
{%- for tool in tools or [] %}
    {%- set name, schema = tool.function.name, tool.function.parameters %}
    {{- '<|im_start|>function\\n' ~ name ~ '(' ~ parameters(schema.properties, schema.required or []) }}
    {{- ')<|im_end|>\\n' }}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'stop' %}{%- break %}{%- endif %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
            {%- if message.content is defined %}{{- message.content }}{%- endif %}
            {%- for call in message.tool_calls | default([]) %}
                {%- set arguments = call.function.arguments | tojson(sort_keys=true) %}
                {{- '<call>' ~ call.function.name ~ ' ' ~ arguments ~ '</call>' }}
            {%- endfor %}
            {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\\n' ~ (message.content | string | trim) ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# The block takes in the line's end behind the token that ends the turn, and the header before the answer does not.
MARKED_WITH_LINE_END = """{% for message in messages %}
{% if message.role == 'assistant' %}
<|im_start|>assistant
{% generation %}{{ message.content }}<|im_end|>
{% endgeneration %}
{% else %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""

TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3_STYLE,
    "mistral": MISTRAL_STYLE,
    "gemma": GEMMA_STYLE,
    "qwen": QWEN_STYLE,
    "marked": MARKED_STYLE,
    "marked with line end": MARKED_WITH_LINE_END,
}
MARKED = ("marked", "marked with line end")

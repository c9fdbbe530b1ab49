"""Ollama's description of a model, with the chat template in Go's language.

Ollama does not read Jinja: it compares the file's template with those that it knows. So the template is derived from
what the chat template renders (`burnish.deployment.turns`), or left out, with a warning, where that cannot be exact.
"""

import json
from collections.abc import Callable

from burnish.deployment.exported import Exported
from burnish.deployment.turns import Turns, turns


def modelfile(exported: Exported, say: Callable[[str], None]) -> tuple[str, str]:
    """Ollama's description of a model: https://docs.ollama.com/modelfile."""
    gguf = exported.gguf_for("ollama")
    lines = [f"# ollama create {exported.name} -f Modelfile && ollama run {exported.name}", f"FROM ./{gguf.name}"]
    if exported.tokenizer.chat_template is not None:
        found = turns(exported.tokenizer)
        if found is None:
            say(
                "Modelfile: the chat template does more than put texts around messages, so it has no TEMPLATE; Ollama "
                "uses its own for the file's template where it knows one: compare an answer with `burnish chat`"
            )
        else:
            lines.append(f'TEMPLATE """{go_template(found)}"""')
    if exported.system:
        if '"""' in exported.system or exported.system.endswith('"'):
            say('Modelfile: the system prompt holds """, or ends with ", which Ollama cannot read: it has no SYSTEM')
        else:
            lines.append(f'SYSTEM """{exported.system}"""')
    lines += [f"PARAMETER stop {json.dumps(text, ensure_ascii=False)}" for text in _stops(exported)]
    lines.append(f"PARAMETER num_ctx {exported.context}")
    if exported.temperature is not None:
        lines.append(f"PARAMETER temperature {exported.temperature:g}")
    return "Modelfile", "\n".join(lines) + "\n"


def go_template(found: Turns) -> str:
    """The template of Go's text/template that renders conversations as `found` does, with Ollama's variables."""
    begun = f"{{{{ if .System }}}}{_go(found.system)}{{{{ .System }}}}{_go(found.system_end)}"
    if found.opened:
        begun += f"{{{{ else }}}}{_go(found.opened)}"
    return (
        f"{begun}{{{{ end }}}}{{{{ range .Messages }}}}"
        f'{{{{ if eq .Role "user" }}}}{_go(found.asked)}{{{{ .Content }}}}{_go(found.asked_end)}'
        f'{{{{ else if eq .Role "assistant" }}}}{_go(found.answer)}{{{{ .Content }}}}{_go(found.answer_end)}'
        "{{ end }}{{ end }}"
    )


def _go(text: str) -> str:
    """Text of a Go template that renders as `text`, in a Modelfile's three quotation marks."""
    if "{{" in text or '"""' in text:
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"
    return text


def _stops(exported: Exported) -> list[str]:
    tokenizer = exported.tokenizer
    return [text for i in sorted(tokenizer.stop_ids) if (text := tokenizer.token(i))] + list(exported.stop)

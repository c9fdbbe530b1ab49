"""`burnish serve`: a model behind an OpenAI-compatible interface."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli.options import (
    CallSeconds,
    Examples,
    Intents,
    MaxCalls,
    McpServers,
    Retrieve,
    ToolFiles,
    Yes,
    tool_options,
)
from burnish.cli.saying import say
from burnish.errors import BurnishError

commands = typer.Typer()

KEYS = Path("serve-keys.txt")
"""Where keys are put unless --keys says otherwise."""


@commands.command(epilog="Example: burnish serve runs/flights --port 8000")
def serve(
    target: Annotated[
        Path | None, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, a model folder or a .gguf file.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What clients call the model; the folder's name if left out.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine only with --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    system: Annotated[str | None, typer.Option(help="System prompt, instead of the recipe's.")] = None,
    page: Annotated[bool, typer.Option(help="Show the chat page at /.")] = True,
    feedback: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep questions, answers and what people think of them in this file."),
    ] = None,
    flywheel: Annotated[
        Path | None,
        typer.Option(metavar="FLYWHEEL.yaml", help="Serve its model in force, and change over when that changes."),
    ] = None,
    intents: Intents = None,
    examples: Examples = None,
    retrieve: Retrieve = None,
    tools: ToolFiles = None,
    mcp: McpServers = None,
    max_calls: MaxCalls = 8,
    call_seconds: CallSeconds = 30.0,
    yes: Yes = False,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="Of requests that have none.")] = 0.0,
    keys: Annotated[Path | None, typer.Option(help="File of hashed keys; only who has one is answered.")] = None,
    new_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a key, show it once, put its hash into --keys, and stop.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Web page that may call from a browser (CORS); may be repeated.")
    ] = None,
    log_contents: Annotated[bool, typer.Option("--log-contents", help="Log questions and answers too.")] = False,
    rows: Annotated[int, typer.Option(min=1, help="Answers that are written at the same time.")] = 32,
    queue: Annotated[int, typer.Option(min=0, help="Further requests that may wait; more are refused.")] = 128,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer that may be asked for.")] = 1024,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a request may take.")] = 600,
    cache: Annotated[
        int, typer.Option(min=0, help="MiB of keys and values that are kept for prompts that begin alike.")
    ] = 1024,
    encoder: Annotated[
        str | None, typer.Option(help="Folder of an encoder, or package:NAME/FOLDER, for vectors of texts.")
    ] = None,
    version: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RUN_OR_MODEL", help="Another version, asked for by its name; may be repeated."),
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE", help="Share of the model's conversations that a version gets, such as b=0.1."
        ),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="A LoRA adapter of the model, asked for by its name; may be repeated."
        ),
    ] = None,
    speculate: Annotated[
        str | None,
        typer.Option(
            metavar="prompt|MODEL",
            help="Guess tokens and verify several in a step: those that stood in the prompt, or a small model's.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; the run's, or auto, if left out.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Serve a model to programs that speak OpenAI's interface: chat, completions, models, streaming.

    With a run's folder, its recipe's system prompt stands before conversations that have none, and its database and
    index are used as `burnish chat` does. With --tools or --mcp the model may call these tools here, on this machine. A
    browser at the address shows a page to chat with it.
    """
    if new_key is not None:
        from burnish.serving.api.keys import add_key

        file = keys or KEYS
        key = add_key(file, new_key)
        say(f"{key}\nIts hash is in {file}; the key is not stored and not shown again. Serve with --keys {file}")
        return
    if (target is None) == (flywheel is None):
        hint = "RUN_OR_MODEL"
        raise typer.BadParameter(
            "expected a run's folder, a model folder, a .gguf file, or --flywheel", param_hint=hint
        )
    from burnish.serving.api import installed

    installed.require()
    from burnish import hardware
    from burnish.console.serving import Serving, followed, named_adapters, named_paths, shared
    from burnish.serving.api.server import serve as run
    from burnish.serving.api.settings import Limits, ServerSettings
    from burnish.serving.api.vectors import ServedEncoder

    wheel = None if flywheel is None else followed(flywheel)
    if adapter and flywheel is not None:
        raise BurnishError("--adapter: an adapter belongs to one model, and --flywheel changes the model")
    serving = Serving.of(target, wheel, retrieve=retrieve, device=device, guess=speculate)
    serving = replace(
        serving,
        intents=intents,
        examples=examples,
        adapters=named_adapters(adapter or (), [name or serving.name]),
        tools=tool_options("Serving them", tools, mcp, max_calls=max_calls, call_seconds=call_seconds, yes=yes),
    )
    found = serving.target
    others = named_paths("--version", version or (), [name or serving.name, *serving.adapters])
    settings = ServerSettings(
        shares=shared(share or (), others),
        name=name or serving.name,
        adapters=tuple(serving.adapters),
        host=host,
        port=port,
        system=found.prompt(system),
        temperature=temperature,
        repetition_penalty=found.config.repetition_penalty,
        stop=tuple(found.config.stop),
        grammar=found.config.grammar,
        page=page,
        feedback=feedback,
        keys=keys,
        origins=tuple(origin or ()),
        log_contents=log_contents,
        limits=Limits(rows=rows, queue=queue, tokens=max_new_tokens, seconds=timeout, cache_bytes=cache * 2**20),
    )
    if not settings.is_local and keys is None:
        raise BurnishError(
            f"--host {host}: other machines could use the model without a key; add --keys FILE "
            "(burnish serve --new-key NAME makes one), or leave --host out"
        )
    hardware.set_threads(threads)
    hardware.keep_freed_memory()
    beside = None if encoder is None else ServedEncoder.of(encoder, device=serving.device, taken=settings.name)
    with ExitStack() as stack:
        load = stack.enter_context(serving.opened())
        served = load(serving.model, settings)
        versions = []
        for called, path in others.items():
            beside_it = Serving.of(path, None, retrieve=retrieve, device=device, guess=speculate)
            beside_it = replace(beside_it, tools=serving.tools)
            own = beside_it.settings_of(settings, called, system)
            versions.append(stack.enter_context(beside_it.opened())(beside_it.model, own))
            say(f"version {called}: {path}, {settings.shares[called]:.0%} of the conversations with {settings.name}")
        for called, one in served.adapters.items():
            say(f"adapter {called}: {one.adapter.n_bytes / 2**20:,.1f} MiB of memory beside the model")
        run(served, say, serving.follow(load, settings, say), beside, versions)

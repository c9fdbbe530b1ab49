"""Burnish's server under more and more clients, as a table in Markdown.

    python -m benchmarks.load --threads 2 --clients 1 --clients 32 --clients 500

Each client asks twice, in a stream, for 32 tokens behind a system prompt of 512 that all share; none may be lost. A
queue of 16 beside it shows that whoever finds it full is told at once.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks import clients, material
from benchmarks.row import BenchmarkError, Config
from benchmarks.serve import our_server

NEW_TOKENS, PREFIX_TOKENS, QUESTION_TOKENS, REQUESTS = 32, 512, 32, 2


def main(
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the server.")] = 2,
    n_clients: Annotated[list[int] | None, typer.Option("--clients", help="How many at once; may be repeated.")] = None,
) -> None:
    """Measure the server with SmolLM2-135M. Leave the machine alone meanwhile."""
    counts = n_clients or [1, 8, 32, 128, 500]
    with tempfile.TemporaryDirectory(prefix="burnish-load-") as folder:
        decoder, tokenizer = material.load_model()
        model = material.save_folders(decoder, tokenizer, Path(folder), "float32")["float32"]
        (prefix,) = material.wiki_prompts(tokenizer, n=1, length=PREFIX_TOKENS)
        questions = material.wiki_prompts(tokenizer, n=max(counts), length=QUESTION_TOKENS)
        del decoder
        bodies = [_body([*prefix, *question]) for question in questions]
        print("| clients | requests | tokens/s | first token, median | of 95 % | answer, median | memory |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        with our_server(model, threads=threads, rows=32, queue=2 * max(counts)) as (port, process):
            clients.load(port, bodies[:1], 1)
            for n in counts:
                answers, seconds = clients.load(port, (bodies[:n] * REQUESTS)[: n * REQUESTS], n)
                print(_line(n, answers, seconds, psutil.Process(process).memory_info().rss), flush=True)
        with our_server(model, threads=threads, rows=32, queue=16) as (port, _):
            clients.load(port, bodies[:1], 1)
            print(_refused(port, bodies[: max(counts)]))


def _body(prompt: list[int]) -> Config:
    return {"model": "model", "prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0}


def _line(n: int, answers: list[clients.Answer], seconds: float, rss: int) -> str:
    waits = sorted(answer.first for answer in answers)
    rate = sum(answer.n_tokens for answer in answers) / seconds
    return (
        f"| {n} | {len(answers)} | {rate:.0f} | {statistics.median(waits):.2f} s | {waits[int(0.95 * (n - 1))]:.2f} s "
        f"| {statistics.median(answer.last for answer in answers):.2f} s | {rss / 2**30:.2f} GiB |"
    )


def _refused(port: int, bodies: list[Config]) -> str:
    """How many of all at once are refused, and how soon."""

    async def one(body: Config) -> float | None:
        started = time.perf_counter()
        try:
            await clients.ask(port, body)
        except BenchmarkError as error:
            if " 429 " not in str(error):
                raise
            return time.perf_counter() - started
        return None

    async def run() -> list[float | None]:
        return await asyncio.gather(*(one(body) for body in bodies))

    waits = sorted(wait for wait in asyncio.run(run()) if wait is not None)
    if not waits:
        return f"\nA queue of 16 took all of {len(bodies)} at once."
    return (
        f"\nOf {len(bodies)} at once, a queue of 16 beside 32 that run refused {len(waits)}: half within "
        f"{statistics.median(waits):.2f} s, the last within {waits[-1]:.2f} s."
    )


if __name__ == "__main__":
    typer.run(main)

"""A server under many clients, beside llama.cpp's.

    python -m benchmarks.serve prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Clients ask different questions behind the same system prompt, in streams, greedily; each asks again once it has its
answer. Both servers get token ids; llama.cpp holds 16 bits a weight, Burnish what `auto` finds faster, 16 or 32.
llama.cpp has a slot for each client and batches them (`llama-server`, built by `make bench` from the source that
llama-cpp-python carries). The clients share the cores with the server, the same for both. The rate of the row is that
of the last number of clients; what was measured of each is shown and recorded.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import clients, material, worker
from benchmarks.decode_one import prepare_weights
from benchmarks.row import BenchmarkError, Config, Row, Target

ROWS = (
    Row(
        name="serve",
        work="1, 8 and 32 clients, 2 requests each of 64 new tokens behind 512 that are alike; the rate of 32",
        module="benchmarks.serve",
        peer="llama-server",
        unit="tokens/s",
        target=Target(ratio=1),
        parameters={
            "clients": [1, 8, 32],
            "requests": 2,
            "new_tokens": 64,
            "prefix_tokens": 512,
            "question_tokens": 32,
        },
        axes={"weights": ("F16", "BF16"), "flash_attention": ("off", "on")},
        check={"clients": [1], "compute_dtype": "float32", "weights": "F16", "new_tokens": 16},
        quick={"clients": [1, 2], "requests": 1, "new_tokens": 4, "prefix_tokens": 64},
        search={"clients": [32], "requests": 1, "new_tokens": 32},
        packages=("llama-cpp-python",),
    ),
)

SERVER = Path(sys.prefix) / "peers" / "llama-server"


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    (prefix,) = material.wiki_prompts(tokenizer, n=1, length=config["prefix_tokens"])
    n = max(config["clients"]) * config["requests"] + 1
    questions = material.wiki_prompts(tokenizer, n=n, length=config["question_tokens"])
    return {
        "models": prepare_weights(decoder, tokenizer, folder),
        "work": material.write_work(folder, [[*prefix, *question] for question in questions]),
    }


def ours(config: Config) -> Config:
    compute_dtype = config.get("compute_dtype", "auto")
    with our_server(
        config["models"]["float32"],
        threads=config["threads"],
        rows=max(config["clients"]),
        compute_dtype=compute_dtype,
    ) as (port, _):
        return _measured(config, port, {"model": "model"})


@contextmanager
def our_server(
    model: str, *, threads: int, rows: int, queue: int = 128, compute_dtype: str = "auto"
) -> Iterator[tuple[int, int]]:
    """Burnish's server in a process of its own: its port and its process's number. Raises BenchmarkError."""
    settings = {"model": model, "threads": threads, "rows": rows, "queue": queue, "compute_dtype": compute_dtype}
    command = [sys.executable, "-m", "benchmarks.our_server", json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split(" at ")[-1].split("/v1")[0]
            if not address.startswith("http"):
                raise BenchmarkError("Burnish's server does not start")
            yield int(address.rpartition(":")[2]), server.pid
        finally:
            server.terminate()


def peer(config: Config) -> Config:
    with _llama_server(config) as port:
        return _measured(config, port, {"cache_prompt": True, "n_probs": 0})


@contextmanager
def _llama_server(config: Config) -> Iterator[int]:
    program = str(SERVER) if SERVER.is_file() else shutil.which("llama-server")
    if program is None:
        raise BenchmarkError(f"llama.cpp's server is not there: make {SERVER.relative_to(Path(sys.prefix).parent)}")
    slots = max(config["clients"])
    context = config["prefix_tokens"] + config["question_tokens"] + config["new_tokens"] + 16
    port = _free_port()
    command = [program, "--model", config["models"][config["weights"]], "--port", str(port), "--parallel", str(slots)]
    command += ["--ctx-size", str(context * slots), "--flash-attn", config["flash_attention"], "--no-webui"]
    command += ["--threads", str(config["threads"]), "--threads-batch", str(config["threads"]), "--offline"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            for _ in range(600):
                if server.poll() is not None:
                    said = "" if server.stderr is None else server.stderr.read()[-800:]
                    raise BenchmarkError(f"llama.cpp's server does not start: {said}")
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                        if answer.status == 200:
                            break
                except OSError:
                    time.sleep(0.1)
            yield port
        finally:
            server.terminate()


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _measured(config: Config, port: int, more: Config) -> Config:
    """What clients see of a server, for each number of them."""
    first, *prompts = material.read_work(config["work"])

    def bodies(prompts: list[list[int]], new_tokens: int) -> list[Config]:
        return [{**more, "prompt": prompt, "max_tokens": new_tokens, "temperature": 0} for prompt in prompts]

    clients.load(port, bodies([first], 4), 1)  # the beginning is there from now on, as for everybody but the first
    found, by_clients, rate = list[clients.Answer](), dict[str, Config](), 0.0
    watch = worker.Stopwatch(children=True)
    watch.start()
    for n in config["clients"]:
        found, seconds = clients.load(port, bodies(prompts[: n * config["requests"]], config["new_tokens"]), n)
        rate = sum(answer.n_tokens for answer in found) / seconds
        waits = sorted(answer.first for answer in found)
        by_clients[str(n)] = {
            "tokens_per_second": round(rate, 1),
            "first_token_seconds": round(statistics.median(waits), 3),
            "slow_first_token_seconds": round(waits[int(0.95 * (len(waits) - 1))], 3),
        }
    watch.stop()
    shown = "; ".join(
        f"{n} clients {one['tokens_per_second']} tokens/s, first token {one['first_token_seconds']} s"
        for n, one in by_clients.items()
    )
    evidence = {"evidence": {"texts": [answer.text for answer in found]}} if config["clients"] == [1] else {}
    return watch.answer(0) | evidence | {"value": rate, "clients": by_clients, "shown": shown}


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)

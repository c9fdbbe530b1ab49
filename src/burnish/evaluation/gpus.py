"""What a token costs on a GPU by its published figures, for planning on a machine that does not have it.

Notable choices:
- training and scoring are bound by arithmetic: operations a token (6 a weight in training, 2 forward: Kaplan 2020,
  arXiv:2001.08361, section 2.1) over `UTILIZATION` of the peak of dense bfloat16 products with float32 sums; logits are
  float32 products by TF32, which are half as fast;
- decoding is bound by memory, which every step reads all weights from, or by launching kernels, whichever takes longer;
- nothing here was measured on these devices: an estimate is within a factor of two at best, and small models, which
  fill no GPU, are the worse part.
"""

from dataclasses import dataclass

from burnish.errors import BurnishError
from burnish.evaluation.rates import Rates
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig

GIB = 1 << 30
UTILIZATION = 0.35
"""Share of the peak that training reaches; published runs of models of this size reach 0.3 to 0.5."""
BANDWIDTH_SHARE = 0.7
LAUNCHES, LAUNCH_SECONDS = 60, 4e-6
"""Kernels of a layer in a decoding step, one launch an operation, and what each takes at least."""
MOMENT_BYTES = 28
"""Read and written for a parameter by AdamW: weight, gradient and two moments in float32, all but the gradient back."""


@dataclass(frozen=True)
class Gpu:
    """A device by its data sheet. tflops: dense bfloat16. bandwidth: of its memory, GB/s. memory: GB."""

    name: str
    tflops: float
    bandwidth: float
    memory: float


GPUS = (
    Gpu("L4", 121, 300, 24),
    Gpu("A10", 125, 600, 24),
    Gpu("RTX3090", 71, 936, 24),
    Gpu("RTX4090", 165, 1008, 24),
    Gpu("RTX5090", 210, 1792, 32),
    Gpu("L40S", 362, 864, 48),
    Gpu("A100-40GB", 312, 1555, 40),
    Gpu("A100-80GB", 312, 2039, 80),
    Gpu("H100-PCIe", 756, 2000, 80),
    Gpu("H100", 989, 3350, 80),
    Gpu("H200", 989, 4800, 141),
    Gpu("B200", 2250, 7700, 180),
    Gpu("MI300X", 1307, 5300, 192),
)
"""Without sparsity, which doubles what NVIDIA prints for its data-centre devices, and SXM where nothing else is said.

Sources: NVIDIA's data sheets of A100 (1758950-r4), L40S, H100, H200 and HGX B200 (4,500 TFLOP/s with sparsity, 180 GB,
7.7 TB/s), its whitepapers of the Ada (4090, L4) and Blackwell (5090: 838 by float16 sums with sparsity, a quarter of it
by float32 sums) architectures, and AMD's data sheet of MI300X; looked up in December 2026 in pages that cite or print
them, since they could not be fetched. A10, 3090 and H100-PCIe's products stand as they were remembered.
"""


def named_gpu(name: str) -> Gpu:
    """The GPU of that name, whatever its case and hyphens. Raises BurnishError, with the names that there are."""
    wanted = _bare(name)
    for gpu in GPUS:
        if wanted in (_bare(gpu.name), f"nvidia{_bare(gpu.name)}", f"amd{_bare(gpu.name)}"):
            return gpu
    raise BurnishError(f"--gpu: got '{name}'; expected one of: {', '.join(gpu.name for gpu in GPUS)}")


def _bare(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def scoring_seconds(gpu: Gpu, parameters: int) -> float:
    """Seconds of a forward pass through so many weights, a token."""
    return 2 * parameters / (UTILIZATION * gpu.tflops * 1e12)


def rates_on(
    gpu: Gpu,
    model: DecoderConfig | EncoderDecoderConfig,
    kept: Rates,
    *,
    parameters: int,
    rows: int,
    sources: float = 0.0,
) -> Rates:
    """Seconds a token on a GPU.

    kept: rates of the model on any machine, for what a token keeps in memory. parameters: of the model. rows: answers
    that are decoded side by side. sources: of an encoder-decoder, how many tokens of the source come with one of the
    target; a layer of either side is taken to have as many parameters.
    """
    writer = model if isinstance(model, DecoderConfig) else model.decoder
    read_by, written_by = (0, model.n_layers) if isinstance(model, DecoderConfig) else _depths(model)
    vocabulary = writer.vocab_size * writer.d_model
    of_layers = max(0, parameters - vocabulary * (1 if writer.tie_embeddings else 2))
    mean = of_layers / (read_by + written_by)
    layer = mean * (read_by * sources + written_by) / (read_by + written_by)
    decoding = mean * written_by / (read_by + written_by)
    operations = UTILIZATION * gpu.tflops * 1e12
    read = BANDWIDTH_SHARE * gpu.bandwidth * 1e9
    launched = LAUNCHES * LAUNCH_SECONDS
    side_by_side = max(1, rows)

    def step(weights: float, bytes_each: int, launches: float) -> float:
        return max(weights * bytes_each / read, launches) / side_by_side

    return Rates(
        train_layer=6 * layer / operations,
        train_head=6 * vocabulary / (operations / 2),
        score_layer=2 * layer / operations,
        score_head=2 * vocabulary / (operations / 2),
        decode_layer=step(decoding, 2, launched) + 2 * decoding / operations,
        decode_head=step(vocabulary, 4, LAUNCH_SECONDS) + 2 * vocabulary / (operations / 2),
        update=MOMENT_BYTES / read,
        kept_layer=kept.kept_layer,
        kept_head=kept.kept_head,
    )


def _depths(model: EncoderDecoderConfig) -> tuple[int, int]:
    return model.encoder.n_layers, model.decoder.n_layers

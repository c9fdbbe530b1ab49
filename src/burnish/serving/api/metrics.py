"""What Prometheus reads of a server. Each server has a registry of its own."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from burnish.serving.api.worker import Worker

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Counters and times of requests. workers: gives those that answer now."""

    def __init__(self, workers: Callable[[], Sequence[Worker]]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("burnish_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.prompt_tokens = Counter("burnish_prompt_tokens", "Tokens of prompts.", registry=registry)
        self.cached_tokens = Counter(
            "burnish_cached_tokens", "Tokens of prompts that went on from an earlier one's.", registry=registry
        )
        self.new_tokens = Counter("burnish_new_tokens", "Tokens of answers.", registry=registry)
        self.first_token = Histogram(
            "burnish_first_token_seconds", "From a request to its first token.", buckets=_SECONDS, registry=registry
        )
        self.seconds = Histogram(
            "burnish_request_seconds", "From a request to its end.", buckets=_SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "burnish_queue_seconds", "From a request to its first step.", buckets=_SECONDS, registry=registry
        )
        self.token_seconds = Histogram(
            "burnish_token_seconds",
            "Between two tokens of an answer, on its average.",
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        ProcessCollector(registry=registry)
        for name, help_, read in (
            ("burnish_waiting", "Answers that wait.", lambda: sum(one.waiting for one in workers())),
            ("burnish_steps", "Steps of the models that answer now.", lambda: sum(one.steps for one in workers())),
            ("burnish_running", "Answers that are being written.", lambda: sum(one.running for one in workers())),
            (
                "burnish_in_flight",
                "Answers that are being written or wait.",
                lambda: sum(one.in_flight for one in workers()),
            ),
            ("burnish_cache_bytes", "Keys and values kept.", lambda: sum(one.cached_bytes for one in workers())),
        ):
            Gauge(name, help_, registry=registry).set_function(read)

    def text(self) -> bytes:
        """In Prometheus's format."""
        return generate_latest(self.registry)

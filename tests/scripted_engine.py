"""An engine that says what a test wants, in the place of one with a model."""

from collections.abc import Callable

from burnish.generation.request import Completion, Drawn, Request
from burnish.text.tokenizer import Tokenizer


class ScriptedEngine:
    """Says what `writes` makes of a prompt's text, a token of each request a step. requests: all that came."""

    cached_bytes = 0

    def __init__(self, tokenizer: Tokenizer, writes: Callable[[str], str]) -> None:
        self._tokenizer, self._writes = tokenizer, writes
        self._left: dict[int, tuple[Request, list[int], list[int]]] = {}
        self._added = 0
        self.requests: list[Request] = []

    @property
    def busy(self) -> bool:
        return bool(self._left)

    def add(self, request: Request) -> int:
        self.requests.append(request)
        said = self._writes(self._tokenizer.decode(list(request.prompt), skip_special=False))
        end = self._tokenizer.backend.token_to_id("<|im_end|>")
        tokens = [*self._tokenizer.encode(said), end][: request.sampling.max_new_tokens]
        self._added += 1
        self._left[self._added] = request, tokens, []
        return self._added

    def remove(self, number: int) -> bool:
        return self._left.pop(number, None) is not None

    def step(self) -> list[Drawn]:
        found = []
        for number, (_, tokens, drawn) in list(self._left.items()):
            drawn.append(tokens[len(drawn)])
            completion = None
            if len(drawn) == len(tokens):
                del self._left[number]
                stopped = drawn[-1] in self._tokenizer.stop_ids
                ended = ("stop", drawn[-1]) if stopped else ("length", None)
                completion = Completion(drawn[:-1] if stopped else drawn, 0.0, *ended)  # type: ignore[arg-type]
            found.append(Drawn(number, drawn[-1], 0.0, completion=completion))
        return found

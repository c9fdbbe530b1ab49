"""Burnish's models in EleutherAI's lm-evaluation-harness, whose tasks then run on them unchanged.

    from lm_eval import simple_evaluate
    from burnish.evaluation.lm_eval import BurnishLM

    simple_evaluate(BurnishLM("runs/flights/09-export/model"), tasks=["arc_easy"])

Notable choices:
- a context is computed once for all of its continuations: the requests of a pass are one forest, in the order of their
  tokens, so that the options of a question and the questions behind one few-shot prompt share it;
- the vocabulary is projected to only where a continuation is predicted, and at most `LOGIT_ROWS` places at a time;
- texts are encoded, cut and stopped as by the harness's own Hugging Face backend, so that scores are the same.

Needs the harness: `pip install 'burnish[lm-eval]'`. It is imported with this module, and by nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import burnish
from burnish.errors import BurnishError, DataError
from burnish.forest import Forest
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.generation.texts import completion_text
from burnish.text.chat import Message, render

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.models.utils import normalize_gen_kwargs
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError as error:
    raise BurnishError(
        f"the evaluation harness cannot be imported ({error}); install it with: pip install 'burnish[lm-eval]'"
    ) from error

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

LOGIT_ROWS = 256
"""Places whose logits are there at the same time."""
LONGEST_ANSWER = 256
"""Tokens of an answer where a task does not say."""
_DRAWN_BY = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")

_CONTINUED = "CONTINUE_FINAL_MESSAGE_TAG "
"""Stands where a message is to be continued; its space tells whether a template trims."""

Request = tuple[Any, list[int], list[int]]
"""What it is about, and the tokens of a context and of its continuation."""


@register_model("burnish")
class BurnishLM(TemplateLM):  # type: ignore[misc, unused-ignore]
    """A model as the harness asks it: log-likelihoods of continuations and of texts, and answers.

    pretrained: a model's folder, a .gguf file or an adapter; or a decoder, with its `tokenizer`. max_length: tokens of
    a text, what is longer is cut on the left; the model's positions if left out. micro_batch_tokens: tokens of a pass,
    each shared one counted once. batch_size: answers written side by side.
    """

    def __init__(
        self,
        pretrained: "str | Path | Decoder",
        tokenizer: "Tokenizer | None" = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_length: int | None = None,
        micro_batch_tokens: int = 8192,
        batch_size: int | str = 64,
        max_batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(pretrained, str | Path):
            decoder, its_own = burnish.load(pretrained, device=device, compute_dtype=dtype)
            tokenizer = tokenizer or its_own
        else:
            decoder = pretrained
        if tokenizer is None:
            raise BurnishError("a decoder without its tokenizer: pass both, or the path of a model")
        self._decoder, self._tok = decoder.eval(), tokenizer
        self._max_length = max_length or decoder.config.max_positions
        self._tokens_at_once, self._seed = int(micro_batch_tokens), int(seed)
        self._rows = 64 if batch_size == "auto" else int(batch_size)
        self._device = decoder.device

    @property
    def max_length(self) -> int:
        """Tokens of the longest text."""
        return self._max_length

    @property
    def max_gen_toks(self) -> int:
        """Tokens of an answer where a task does not say."""
        return LONGEST_ANSWER

    @property
    def eot_token_id(self) -> int:
        """What ends a text."""
        ends = [self._tok.eos_id, *sorted(self._tok.stop_ids)]
        if (found := next((end for end in ends if end is not None), None)) is None:
            raise BurnishError(f"{self._tok.source}: no token ends a text; the harness needs one")
        return found

    @property
    def prefix_token_id(self) -> int:
        """What a text without a context is predicted from."""
        return self.eot_token_id if self._tok.bos_id is None else self._tok.bos_id

    @property
    def tokenizer_name(self) -> str:
        """What the harness's caches tell tokenizers apart by."""
        return self._tok.source.replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The chat template; one of several by its name."""
        if chat_template is False:
            return None
        return self._tok.templates.get(chat_template if isinstance(chat_template, str) else "default")

    def apply_chat_template(self, chat_history: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """A conversation as the model reads it; without a generation prompt it ends inside its last message.

        Raises BurnishError where that has no text, or the template leaves out how it ends.
        """
        if add_generation_prompt or not chat_history:
            return render(self._tok, chat_history, add_generation_prompt=add_generation_prompt)
        last = chat_history[-1].get("content")
        if not isinstance(last, str):
            raise BurnishError(
                f"the last message of a conversation is to be continued, and its content is {last!r:.80}"
            )
        # As transformers finds the end: templates trim messages, and say words of them elsewhere too.
        marked = chat_history[-1].copy()
        marked["content"] = last + _CONTINUED
        text = render(self._tok, [*chat_history[:-1], marked])
        place = text.rfind(_CONTINUED.strip())
        if place < 0:
            raise BurnishError(
                f"{self._tok.source}: its chat template leaves out how the last message ends, {last[-80:]!r}, which "
                "cannot be continued then"
            )
        return text[:place] if text.startswith(_CONTINUED, place) else text[:place].rstrip()

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids; behind the begin-of-sequence token where the tokenizer puts one and the text has none yet."""
        tokens = self._tok.encode(string, special=True)
        adds = self._tok.add_bos if add_special_tokens is None else add_special_tokens and self._tok.add_bos
        bos = self._tok.bos_id
        begun = add_special_tokens is None and tokens[:1] == [bos]
        return [bos, *tokens] if adds and not begun and bos is not None else tokens

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """log p of whole texts in nats; longer ones in windows, in which each token is predicted once."""
        windows: list[Request] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0])
            rolling = get_rolling_token_windows(tokens, self.prefix_token_id, self.max_length, context_len=1)
            for context, continuation in map(make_disjoint_window, rolling):
                windows.append((None, context, continuation))
                owners.append(number)
        sums = [0.0] * len(requests)
        for owner, (logp, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            sums[owner] += logp
        for request, logp in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, logp)
        return sums

    @torch.inference_mode()
    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        """Of each continuation log p after its context, in nats, and whether the model would say just that."""
        found = [(0.0, False)] * len(requests)
        rows = []
        for _about, context, continuation in requests:
            if not 0 < len(continuation) <= self.max_length:
                raise DataError(
                    f"a continuation of {len(continuation)} tokens; the harness's requests need at least one, and at "
                    f"most {self.max_length}"
                )
            # White space at the end of a context is the continuation's: where there is nothing else, none is left.
            before = context or [self.prefix_token_id]
            rows.append((before + continuation)[-(self.max_length + 1) :])
        for numbers in self._passes(rows):
            for number, result in zip(numbers, self._score(numbers, rows, requests), strict=True):
                found[number] = result
                if requests[number][0] is not None:
                    self.cache_hook.add_partial("loglikelihood", requests[number][0], result)
        return found

    def _passes(self, rows: Sequence[list[int]]) -> Iterator[list[int]]:
        """Numbers of the rows of one forward pass: neighbours in the order of their tokens, which share the most."""
        group: list[int] = []
        tokens, before = 0, list[int]()
        for number in sorted(range(len(rows)), key=rows.__getitem__):
            row = rows[number]
            own = len(row) - _common_prefix(before, row)
            if group and tokens + own > self._tokens_at_once:
                yield group
                group, tokens, own = [], 0, len(row)
            group.append(number)
            tokens, before = tokens + own, row
        if group:
            yield group

    def _score(
        self, numbers: Sequence[int], rows: Sequence[list[int]], requests: Sequence[Request]
    ) -> list[tuple[float, bool]]:
        """One forward pass: what is said of each of these rows' continuations."""
        # The last token of a row predicts nothing: options of one token are one place behind their context.
        forest, ends = Forest.from_sequences([rows[number][:-1] for number in numbers])
        lengths = [len(requests[number][2]) for number in numbers]
        places = torch.cat([forest.path(end)[-length:] for end, length in zip(ends, lengths, strict=True)])
        wanted = torch.tensor([token for number in numbers for token in requests[number][2]])
        hidden = self._decoder(forest.to(self._decoder.device))
        distinct, entries = torch.unique(places, return_inverse=True)
        logps, greedy = torch.empty(len(places), dtype=torch.float64), torch.empty(len(places), dtype=torch.bool)
        for start in range(0, len(distinct), LOGIT_ROWS):
            part = distinct[start : start + LOGIT_ROWS]
            scores = self._decoder.logits(hidden[part.to(hidden.device)]).log_softmax(-1).cpu()
            here = ((entries >= start) & (entries < start + len(part))).nonzero().squeeze(1)
            rows_of = entries[here] - start
            logps[here] = scores[rows_of, wanted[here]].double()
            greedy[here] = scores.argmax(-1)[rows_of] == wanted[here]
        return [
            (logp.sum().item(), bool(said.all()))
            for logp, said in zip(logps.split(lengths), greedy.split(lengths), strict=True)
        ]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model says after each context, cut before the first string that ends it."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        samplings = [self._sampling(request.args[1]) for request in requests]
        for number, sampling in enumerate(samplings):
            groups.setdefault((sampling,), []).append(number)
        answers = [""] * len(requests)
        for (sampling,), numbers in groups.items():
            room = self.max_length - sampling.max_new_tokens
            if room < 1:
                raise BurnishError(
                    f"max_gen_toks of {sampling.max_new_tokens} leaves no room for a question in a context of "
                    f"{self.max_length} tokens; lower it in the task"
                )
            # Neighbours in the order of their tokens share their beginnings, and a wave computes these once.
            prompts = {number: self.tok_encode(requests[number].args[0])[-room:] for number in numbers}
            order = sorted(numbers, key=prompts.__getitem__)
            said = generate(
                self._decoder,
                [prompts[number] for number in order],
                sampling,
                seed=self._seed,
                batch_size=self._rows,
                tokenizer=self._tok,
            )
            for number, (completion,) in zip(order, said, strict=True):
                answers[number] = completion_text(completion, self._tok)
                self.cache_hook.add_partial("generate_until", requests[number].args, answers[number])
        return answers

    def _sampling(self, gen_kwargs: Mapping[str, Any]) -> Sampling:
        """A task's keys as the engine's. Raises BurnishError for those that it does not have."""
        kwargs = dict(normalize_gen_kwargs(dict(gen_kwargs), self.max_gen_toks))
        until, longest = kwargs.pop("until"), kwargs.pop("max_gen_toks")
        if not kwargs.pop("do_sample"):
            kwargs["temperature"] = 0.0
        if unknown := sorted(set(kwargs) - set(_DRAWN_BY)):
            raise BurnishError(f"generation_kwargs.{unknown[0]}: not among what is offered: {', '.join(_DRAWN_BY)}")
        # A string that is one control token ends an answer as that token: it is no part of the text.
        ends = {tokens[0] for text in until if len(tokens := self._tok.encode(text, special=True)) == 1}
        return Sampling(
            **kwargs,
            max_new_tokens=longest,
            stop=self._tok.stop_ids | {self.eot_token_id} | (ends & self._tok.control_ids),
            stop_strings=tuple(text for text in until if text),
        )


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens two rows share."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

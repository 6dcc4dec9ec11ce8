"""vLLM with requests that come over time: its engine stepped by hand."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from joulecast.measurements.engines.decoding import GREEDY, Decoding


class VllmStream:
    """Requests of random token ids, handed over one by one.

    Args:
        vllm: The module.
        llm: A loaded vllm.LLM with nothing to do.
        prompts: Token ids per request.
        output_tokens: Per request, exactly so many.
    """

    def __init__(
        self,
        vllm: Any,
        llm: Any,
        prompts: Sequence[Sequence[int]],
        output_tokens: Sequence[int],
    ) -> None:
        self._engine = llm.llm_engine
        self._prompts = prompts
        self._sampling = [_told_at_the_end(vllm, tokens) for tokens in output_tokens]
        self._added: set[str] = set()

    @property
    def is_busy(self) -> bool:
        """Whether any request that was added is not done."""
        return bool(self._engine.has_unfinished_requests())

    def add(self, number: int) -> str:
        """Hand over a request; what vLLM's scheduler calls it."""
        prompt = {"prompt_token_ids": self._prompts[number]}
        name = self._engine.add_request(str(number), prompt, self._sampling[number])
        self._added.add(str(number))
        return str(number) if name is None else str(name)

    def step(self) -> Mapping[int, int]:
        """One step of the engine: request -> tokens that came out, of those that ended in it."""
        ended = {
            output.request_id: len(output.outputs[0].token_ids)
            for output in self._engine.step()
            if output.finished
        }
        self._added -= ended.keys()
        return {int(key): tokens for key, tokens in ended.items()}

    def abort(self) -> None:
        """Cut off all that is not done."""
        self._engine.abort_request(sorted(self._added))
        self._added.clear()
        while self.is_busy:
            self._engine.step()
        self._engine.step()  # what was scheduled ahead


def random_prompts(
    generator: random.Random, vocabulary: int, lengths: Sequence[int]
) -> list[list[int]]:
    """Prompts of so many random token ids each."""
    return [generator.choices(range(vocabulary), k=tokens) for tokens in lengths]


def sampling_of(
    vllm: Any, output_tokens: int, decoding: Decoding = GREEDY, has_draft: bool = False
) -> Any:
    """Exactly so many tokens, none of which ends a request.

    Args:
        vllm: The module.
        output_tokens: How many.
        decoding: How they are chosen; beams are no matter of these parameters.
        has_draft: Whether a draft proposes them. A least number of tokens, which adds nothing to
            `ignore_eos`, is then left out: vLLM would go through all requests in Python for it, at
            every verified step.
    """
    options: dict[str, Any] = {} if has_draft else {"min_tokens": output_tokens}
    if decoding.top_p < 1:
        options["top_p"] = decoding.top_p
    return vllm.SamplingParams(
        temperature=decoding.temperature,
        max_tokens=output_tokens,
        ignore_eos=True,
        detokenize=False,
        **options,
    )


def _told_at_the_end(vllm: Any, output_tokens: int) -> Any:
    """The same, told of once all are there."""
    sampling = sampling_of(vllm, output_tokens)
    sampling.output_kind = vllm.sampling_params.RequestOutputKind.FINAL_ONLY
    return sampling

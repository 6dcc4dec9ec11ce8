"""Beam search as vLLM does it: in Python, one request of one token for each beam and step.

Between steps a beam's keys and values are found again in the prefix cache, which is therefore on.
It is emptied before each batch, or the prompts would cost nothing when a batch is run again.
"""

from collections.abc import Sequence
from typing import Any

from joulecast.measurements.engines import Batch, EngineError, one_line


class _NoTokenizer:
    """What beam search asks of a tokenizer, where token ids go in and out and none ends a text."""

    eos_token_id = -1

    def decode(self, _tokens: Sequence[int]) -> str:
        """No text."""
        return ""


def beam_batch(
    vllm: Any, llm: Any, prompts: Sequence[Any], lengths: Sequence[tuple[int, int]], width: int
) -> Batch:
    """A batch of requests that are all asked at once, ready to run.

    Args:
        vllm: The module.
        llm: A loaded vllm.LLM with its prefix cache on.
        prompts: As vLLM takes them.
        lengths: (I, O) of each [tokens]; all of one O, as vLLM's beam search has it.
        width: Beams of each request.

    Returns:
        What runs it; the output tokens are those of each request's best beam.

    Raises:
        EngineError: The requests are to have outputs of different lengths.
    """
    outputs = {output_tokens for _, output_tokens in lengths}
    if len(outputs) > 1:
        raise EngineError("vLLM's beam search takes requests of one output length; give one")
    parameters = vllm.sampling_params.BeamSearchParams(
        beam_width=width, max_tokens=outputs.pop(), ignore_eos=True
    )
    llm.renderer.get_tokenizer = _NoTokenizer

    def run() -> int:
        try:
            _forget_prefixes(llm)
            outputs = llm.beam_search(prompts, parameters)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"vLLM crashed: {one_line(error)}") from error
        return sum(
            len(output.sequences[0].tokens) - input_tokens
            for output, (input_tokens, _) in zip(outputs, lengths, strict=True)
        )

    return run


def _forget_prefixes(llm: Any) -> None:
    if not llm.reset_prefix_cache():
        llm.llm_engine.step()  # what was scheduled ahead still holds blocks
        if not llm.reset_prefix_cache():
            raise EngineError("vLLM does not empty its prefix cache; start it anew")

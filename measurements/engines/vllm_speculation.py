"""Speculation in vLLM, whose rejection sampler can draw what is accepted."""

from typing import Any

from joulecast.measurements.engines.decoding import AcceptanceCount, Speculation


def speculative_config(speculation: Speculation, draft_folder: str) -> dict[str, Any]:
    """What vllm.LLM takes as `speculative_config`.

    vLLM asks for the probability that the first i tokens are all accepted, for each i; ours is that
    of each token given those before it, a, so that theirs are a, a^2, ... a^K. Its sampler divides
    each by the one before, and so holds a for every token again.

    Args:
        speculation: What to propose and to accept.
        draft_folder: With the draft's config.json; its weights are loaded as the model's are.
    """
    return {
        "method": "draft_model",
        "model": draft_folder,
        "num_speculative_tokens": speculation.lookahead,
        "rejection_sample_method": "synthetic",
        "synthetic_acceptance_rates": [
            speculation.acceptance**k for k in range(1, speculation.lookahead + 1)
        ],
    }


class AcceptanceWatch:
    """Counts what vLLM's scheduler sees accepted.

    The scheduler tells its statistics of each request and step whether it keeps them or not.

    Args:
        scheduler: vLLM's own, in this process.

    Raises:
        AttributeError: This vLLM counts elsewhere.
    """

    def __init__(self, scheduler: Any) -> None:
        self.count = AcceptanceCount()
        self._own = scheduler.make_spec_decoding_stats
        scheduler.make_spec_decoding_stats = self._observe

    def _observe(self, *args: Any, **options: Any) -> Any:
        self.count.add(int(options["num_draft_tokens"]), int(options["num_accepted_tokens"]))
        return self._own(*args, **options)

"""How an engine serves requests that are all there from the start."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import LengthArray, Steps
from joulecast.measurements.identity import require_greedy
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.requests import TokenArray


class Scheduler(Protocol):
    """Which requests an engine feeds in which step."""

    @property
    def reconstruction_sd(self) -> float:
        """Relative sd of an energy whose lengths were reconstructed (docs/reconstruction.md)."""

    @property
    def has_prefix_cache(self) -> bool:
        """Whether tokens of prompts that a cache holds are read there, and not computed."""

    @property
    def longest_request(self) -> int | None:
        """Input and output of the longest request that it can serve [tokens]; None for any."""

    def schedule(
        self,
        lengths: LengthArray,
        progress: Progress | None = None,
        cached: TokenArray | None = None,
    ) -> Steps:
        """What every step feeds.

        Args:
            lengths: (i, o) per request, in their order [tokens], shape (n, 2).
            progress: Told what share of the requests has ended.
            cached: Tokens of each prompt that are in a cache of prefixes, shape (n,).
        """

    def fewest_steps(self, lengths: LengthArray) -> float:
        """So many steps are needed at the least."""

    def require_fits(self, lengths: LengthArray) -> None:
        """Refuse requests that the engine cannot serve even alone.

        Raises:
            InputError: There is one; its lengths are named.
        """

    def clip(self, lengths: LengthArray) -> LengthArray:
        """Requests that were drawn, shortened to what the engine holds."""

    def schedule_batch(self, input_tokens: int, output_tokens: int, batch_size: int) -> Steps:
        """The same for a table's run: one batch of equal requests."""


def scheduler_of(table: EnergyTable) -> Scheduler:
    """The scheduler of a table's engine, with the settings that it was measured with.

    Raises:
        InputError: The table lacks settings that matter, or its requests were not fed a token a
            step: with beams, or with a draft.
    """
    require_greedy(table.metadata, table.name)
    if table.engine == "pytorch":
        return StaticBatching(table.grid, table.largest_batches)
    if table.engine != "vllm":
        raise InputError(
            f"{table.name}: how {table.engine} schedules requests is not known; use --method binned"
        )
    shape = load_shape(table.config)
    return continuous_batching(table.metadata["engine_settings"], shape, table.name)


def continuous_batching(
    settings: Mapping[str, Any], shape: ModelShape, where: str
) -> ContinuousBatching:
    """The scheduler of a vLLM that served a model; settings and errors as for `from_settings`.

    Where some layers have a window and others none, vLLM gives every group of them blocks of its
    own out of one pool, and the tokens that it tells are those of the pool.
    """
    rules = ContinuousBatching.from_settings(settings, where)
    windowed = sum(n for layer, n in shape.kinds.items() if layer.window is not None)
    whole = len(shape.layers) - windowed
    size = min(windowed, whole)
    groups = 1 if size == 0 else -(-windowed // size) + -(-whole // size)
    return replace(
        rules,
        cache_blocks=max(1, rules.cache_blocks // groups),
        mixture=shape if shape.is_mixture else None,
    )

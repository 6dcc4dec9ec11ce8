"""How long steps last where a table of the very deployment is at hand.

A price list's pace holds for all models. A table of one of them tells better what its own steps
take, of those kinds that a few batches of one model tell apart: a layer, however little it does; a
token sampled; and a byte of the cache. Products and weights stay the list's.
"""

from collections.abc import Sequence
from dataclasses import replace

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time.state import StepTimes
from joulecast.estimator.steps.metered_batches import MeteredBatch
from joulecast.estimator.unit_prices.fit import Metered, fit_pace
from joulecast.estimator.unit_prices.in_time import step_times
from joulecast.estimator.unit_prices.model import Scaling, can_scale_from
from joulecast.estimator.unit_prices.pace import Pace
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.shipped import load_unit_prices, price_list_names
from joulecast.estimator.unit_prices.sources import deployment_of, metered_of_table
from joulecast.measurements.table.table import EnergyTable

_OWN = ("layer", "output", "cache_byte")
"""Fields of the pace that a table tells."""

_OWN_OF_MIXTURES = ("output", "cache_byte")
"""Those of a mixture: a few batches do not tell a layer from the reading of a few experts, with
which a step of two to thirty requests begins. Seen in runs of Qwen3-30B-A3B that were served
online, whose steps came out 13 % short; offline replays of three mixtures do not tell."""

_REACHED = 0.9
"""Share of the memory's bandwidth at which the cache is read, where the fit begins if the list has
less time for it than that: 2.3e-13 s a byte in windows of equal requests on H200s."""


def table_times(
    table: EnergyTable,
    scheduler: ContinuousBatching,
    batches: Sequence[MeteredBatch] | None = None,
) -> StepTimes:
    """How long the steps of a table's deployment last under such a scheduler.

    Args:
        table: The table.
        scheduler: Which may have other limits than the table's.
        batches: Of the table, if they are at hand (`StepModel.batches`).
    """
    deployment = deployment_of(table.metadata, table.config)
    tells = can_scale_from(table)
    if f"{deployment.gpu.name}/{deployment.engine}" not in price_list_names():
        return Scaling(deployment, table=table if tells else None).step_times(scheduler)
    prices = load_unit_prices(deployment.gpu.name, deployment.engine)
    if tells and not table.is_of_traffic:
        pace = own_pace(list(metered_of_table(table, batches)), prices, scheduler.graph_tokens)
        prices = replace(prices, pace=pace)
    return step_times(prices, deployment, scheduler.token_budget, scheduler.graph_tokens)


def own_pace(metered: Sequence[Metered], prices: UnitPrices, graph_tokens: int) -> Pace:
    """The pace of a list, drawn to the batches of a table.

    Batches that decode more requests than a recorded graph holds are left out, of an eager engine
    all: their time is the host's, which spends it on each request.

    Args:
        metered: Batches of the table; they may be few.
        prices: Of the GPU.
        graph_tokens: Most tokens of a recorded graph.
    """
    recorded = [each for each in metered if each.work.of("outputs").max() <= graph_tokens]
    pace = prices.pace
    if recorded:
        read_s = 1 / (_REACHED * recorded[0].deployment.gpu.memory_bytes_per_s)
        first = replace(pace, cache_byte=max(pace.cache_byte, read_s))
        is_mixture = recorded[0].deployment.shape.is_mixture
        own = _OWN_OF_MIXTURES if is_mixture else _OWN
        pace = fit_pace(recorded, prices.energy_j, first, own)
    return pace

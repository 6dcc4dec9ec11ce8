"""The step model of a deployment that no table is of, and the choice of what to stand on."""

import math
from dataclasses import dataclass, replace

from joulecast.estimator.basis import Basis, BasisKind
from joulecast.estimator.flops import load_flops
from joulecast.estimator.ideal import Roofline
from joulecast.estimator.positions import within_positions
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time.state import StepTimes
from joulecast.estimator.steps.schedulers import Scheduler
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.carry import (
    NO_WATTS,
    CarriedPrices,
    OwnWatts,
    carry,
    with_own_watts,
)
from joulecast.estimator.unit_prices.deployment import Deployment, own_format
from joulecast.estimator.unit_prices.fit import fit_unit_prices
from joulecast.estimator.unit_prices.in_time import step_times
from joulecast.estimator.unit_prices.law import UnitLaw
from joulecast.estimator.unit_prices.memory import scheduler_for
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.shipped import (
    BEST_KNOWN,
    load_unit_prices,
    price_list_names,
)
from joulecast.estimator.unit_prices.sources import (
    deployment_of,
    idle_powers_w,
    is_usable,
    metered_of,
)
from joulecast.estimator.unit_prices.static_batches import static_batching_for
from joulecast.measurements.engines import ENGINES
from joulecast.measurements.hardware import Gpu, gpu_names, load_gpu
from joulecast.measurements.identity import kind_of, other_decoding
from joulecast.measurements.table.table import EnergyTable, load_table, most_gpus, table_names
from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.workload import Workload

DEFAULT_MODEL, DEFAULT_GPU, DEFAULT_ENGINE = "llama-3.1-8b", "h100-sxm", "vllm"

PRICED_ENGINES = ("vllm", "pytorch")
SCALABLE_ENGINES = ("vllm",)
"""Engines whose prices carry from model to model and from GPU to GPU; those of which a table can be
named to scale from."""

PYTORCH_MODEL_SD = 0.10
"""Of plain PyTorch with another model than the one that was measured: nobody here metered one; the
prices of vLLM, of which eleven models were, carry within 2.3 % (rms of dense ones left out)."""


def deployment_like(
    table: EnergyTable | None,
    model: str | None = None,
    gpu: str | None = None,
    engine: str | None = None,
    gpus: int | None = None,
    dtype: str | None = None,
    is_eager: bool = False,
) -> Deployment:
    """A deployment as a user names it; what is not named is that of the table, or the default.

    Raises:
        InputError: No such model, GPU or number format, so many GPUs cannot share the model, or
            an engine that is eager as it is.
    """
    deployment = _named(table, model, gpu, engine, gpus, dtype)
    if not is_eager:
        return deployment
    if deployment.engine == "pytorch":
        raise InputError("--eager: plain PyTorch compiles nothing as it is; leave --eager out")
    return replace(deployment, is_eager=True)


def _named(
    table: EnergyTable | None,
    model: str | None,
    gpu: str | None,
    engine: str | None,
    gpus: int | None,
    dtype: str | None,
) -> Deployment:
    """The same, as eager as the table."""
    if engine is not None and engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if gpus is not None and (type(gpus) is not int or gpus < 1):
        raise InputError(f"{gpus!r} is no number of GPUs; give a whole one of 1 or more")
    if table is None:
        return Deployment.of(
            DEFAULT_MODEL if model is None else model,
            load_gpu(DEFAULT_GPU if gpu is None else gpu),
            DEFAULT_ENGINE if engine is None else engine,
            gpus or 1,
            dtype,
        )
    own = deployment_of(table.metadata, table.config)
    if dtype is None:
        dtype = (model and own_format(model)) or own.quantization or own.dtype
    deployment = Deployment.of(
        own.model if model is None else model,
        own.gpu if gpu is None else load_gpu(gpu),
        own.engine if engine is None else engine,
        gpus or own.gpus,
        dtype,
    )
    if deployment.gpu.name != own.gpu.name:
        return replace(deployment, is_eager=own.is_eager)
    return replace(
        deployment,
        is_eager=own.is_eager,
        power_limit_w=own.power_limit_w,
        max_num_seqs=own.max_num_seqs,
        max_num_batched_tokens=own.max_num_batched_tokens,
    )


def is_of_deployment(table: EnergyTable, deployment: Deployment) -> bool:
    """Whether a table is of this very deployment."""
    own = deployment_of(table.metadata, table.config)
    return own.identity == deployment.identity


def measured_table(deployment: Deployment) -> EnergyTable | None:
    """The shipped table of this very deployment that tells most; None if there is none.

    A table of batches goes before one of traffic, and one of more runs before one of fewer.
    """
    prefix = f"{deployment.gpu.name}/{deployment.model}/"
    best: EnergyTable | None = None
    for name in table_names():
        if name.startswith(prefix):
            table = load_table(name)
            if table.metadata["measured_by"] == "hand" or kind_of(table.metadata)["compiled"]:
                continue
            if other_decoding(table.metadata) is not None:
                continue
            is_better = best is None or _amount(table) > _amount(best)
            if is_better and is_of_deployment(table, deployment):
                best = table
    return best


def _amount(table: EnergyTable) -> tuple[bool, int]:
    return not table.is_of_traffic, sum(run.valid for run in table.runs)


@dataclass(frozen=True)
class Scaling:
    """A deployment that is forecast by prices per unit of physical work.

    Attributes:
        deployment: What serves.
        watts: What the user read off the card.
        table: A table to scale from; None for the prices that ship.
    """

    deployment: Deployment
    watts: OwnWatts = NO_WATTS
    table: EnergyTable | None = None

    @property
    def name(self) -> str:
        """In a few words."""
        return self.deployment.text

    def carried_prices(self) -> CarriedPrices:
        """Prices of the GPU: its own, or carried over from the one that most is known of.

        Raises:
            InputError: No prices of that engine, or watts that cannot be.
        """
        deployment = self.deployment
        if deployment.engine not in PRICED_ENGINES:
            raise InputError(
                f"{deployment.text}: no table of it was measured, and prices that carry from model "
                f"to model are of {', '.join(PRICED_ENGINES)} alone; take --engine vllm, or a "
                "--table"
            )
        if self.table is None:
            carried = _prices_on(deployment.gpu, deployment.engine)
        else:
            carried = _prices_by(self.table, deployment.gpu)
        return with_own_watts(carried, deployment, self.watts)

    def step_model(self, workload: Workload) -> StepModel:
        """The step model of the deployment.

        Args:
            workload: What it is to serve, whose mean length decides how much a cache with windows
                holds.

        Raises:
            InputError: The GPUs do not hold the model, or no prices are known.
        """
        scheduler = self._scheduler(workload)
        deployment, carried = self.deployment, self.carried_prices()
        prices = carried.prices
        roofline = Roofline(
            load_flops(deployment.model),
            deployment.shape,
            deployment.gpu,
            deployment.dtype,
            deployment.quantization,
        )
        longest_input, longest_output = prices.lengths
        basis = self._basis(carried)
        is_own = basis.kind == "measured" or (
            deployment.engine == "pytorch" and deployment.model in prices.provenance["models"]
        )
        return StepModel(
            name=deployment.text,
            basis=basis,
            config=deployment.model,
            gpu=deployment.gpu,
            compute_dtype=deployment.compute_dtype,
            length_ranges=[(1, longest_input), (1, longest_output)],
            scheduler=self._in_time(scheduler),
            law=UnitLaw(carried, deployment, roofline, self._model_sd(prices, is_own), is_own),
            roofline=roofline,
        )

    def step_times(self, scheduler: ContinuousBatching) -> StepTimes:
        """How long the steps of such a scheduler last."""
        budget, graph_tokens = scheduler.token_budget, scheduler.graph_tokens
        return step_times(self.carried_prices().prices, self.deployment, budget, graph_tokens)

    def _in_time(self, scheduler: Scheduler) -> Scheduler:
        """A scheduler that knows how long its steps last, where it follows them one by one."""
        if not isinstance(scheduler, ContinuousBatching):
            return scheduler
        return replace(scheduler, times=self.step_times(scheduler))

    def _scheduler(self, workload: Workload) -> Scheduler:
        """Who is fed when; errors as for `step_model`."""
        deployment = self.deployment
        if deployment.engine == "pytorch":
            return static_batching_for(deployment)
        total = within_positions(workload, None, deployment.model).workload.total
        mean = (total.input_tokens + total.output_tokens) / max(1, total.requests)
        return scheduler_for(deployment, mean)

    def _model_sd(self, prices: UnitPrices, is_own: bool) -> float:
        """Relative sd of what prices of other models, or of other runs, put an energy off by."""
        kind = "mixture" if self.deployment.shape.is_mixture else "dense"
        if is_own or self.deployment.engine != "pytorch":
            return prices.errors[kind]
        return math.hypot(prices.errors[kind], PYTORCH_MODEL_SD)

    def _basis(self, carried: CarriedPrices) -> Basis:
        deployment, prices = self.deployment, carried.prices
        is_own = (
            _is_among(deployment, prices)
            and deployment.dtype == "bfloat16"
            and self.watts.decode_w is None
        )
        kind: BasisKind = "measured" if is_own else "model scaled"
        return Basis(
            kind="gpu scaled" if carried.from_gpu is not None else kind,
            model=deployment.model,
            gpu=deployment.gpu.name,
            engine=deployment.engine,
            gpus=deployment.gpus,
            dtype=deployment.quantization or deployment.dtype,
            tables=tuple(prices.provenance["tables"]),
            from_gpu=carried.from_gpu,
            is_completed=self.table is not None and self.table.is_at_capacity_alone,
            is_eager=deployment.is_eager,
            idle_cards=carried.idle_cards,
            notes=(*_eager_notes(deployment, prices), *self._gpus_notes(prices)),
        )

    def _gpus_notes(self, prices: UnitPrices) -> tuple[str, ...]:
        """That so many GPUs never shared a model under the meter, if none did."""
        gpus, gpu = self.deployment.gpus, prices.provenance["gpu"]
        own = 1 if self.table is None else self.table.gpu_count
        if gpus <= own or gpus <= (most := max(own, most_gpus(gpu))):
            return ()
        return (f"{gpus} {gpu} that share a model were never metered, {most} at most",)


def _is_among(deployment: Deployment, prices: UnitPrices) -> bool:
    """Whether prices are fitted to the model as it is served, number format aside."""
    if deployment.is_plain:
        return deployment.model in prices.provenance["models"]
    if not replace(deployment, is_eager=False).is_plain:
        return False
    prefix = f"{deployment.gpu.name}/{deployment.model}/"
    tables = prices.provenance["tables"]
    return any(name.startswith(prefix) and "eager" in name for name in tables)


def _eager_notes(deployment: Deployment, prices: UnitPrices) -> tuple[str, ...]:
    """What the time of launching every step rests on, if hosts of another GPU."""
    if not deployment.is_eager or any("eager" in name for name in prices.provenance["tables"]):
        return ()
    return (f"eager: what hosts of {BEST_KNOWN} take to launch a layer",)


Served = EnergyTable | Scaling
"""What an estimate is made of: a table of the very deployment, or prices that are scaled to it."""


def served_by(deployment: Deployment, watts: OwnWatts = NO_WATTS) -> Served:
    """The best that is known of a deployment.

    Tables of eager steps are of few batches, which hardly tell what the host takes; a price list
    that holds them and replays does better.
    """
    is_told = watts == NO_WATTS and not deployment.is_eager
    table = measured_table(deployment) if is_told else None
    return Scaling(deployment, watts) if table is None else table


def _prices_on(gpu: Gpu, engine: str) -> CarriedPrices:
    """The shipped prices of a GPU, or those of the best known one, carried over."""
    if f"{gpu.name}/{engine}" in price_list_names():
        prices = load_unit_prices(gpu.name, engine)
        return CarriedPrices(prices, idle_cards=prices.provenance["cards"])
    return carry(load_unit_prices(BEST_KNOWN, engine), load_gpu(BEST_KNOWN), gpu)


def can_scale_from(table: EnergyTable) -> bool:
    """Whether prices per unit of work can be fitted to a table."""
    return table.engine in SCALABLE_ENGINES and is_usable(table, table.gpu.name, table.engine)


def _prices_by(table: EnergyTable, gpu: Gpu) -> CarriedPrices:
    """What a table tells, on top of what was known of its GPU, carried over to another if need be.

    Raises:
        InputError: The table has no batches, or no idle power.
    """
    if not can_scale_from(table):
        raise InputError(
            f"{table.name}: cannot be scaled from; that takes a table of {SCALABLE_ENGINES[0]} "
            "with batches of seven kinds or traffic, and the idle power, as --plan quick measures"
        )
    if gpu.name != table.gpu.name and f"{gpu.name}/{table.engine}" in price_list_names():
        raise InputError(
            f"{table.name}: is of {table.gpu.name}, and {gpu.name} was measured itself; leave "
            "--table out"
        )
    of_its_gpu = _prices_on(table.gpu, table.engine)
    model = deployment_of(table.metadata, table.config)
    powers_w = idle_powers_w([table])
    powers_w = powers_w or [float(table.metadata["idle_power_w"]) / table.gpu_count]
    fitted = fit_unit_prices(
        metered_of(table),
        powers_w,
        of_its_gpu.prices.errors,
        {
            "tables": [table.name],
            "models": [table.model] if model.is_plain else [],
            "gpu": table.gpu.name,
        },
        of_its_gpu.prices,
    )
    if gpu.name == table.gpu.name:
        return CarriedPrices(fitted, idle_cards=len(powers_w))
    return carry(fitted, table.gpu, gpu)


def scaling_on(
    gpu: str, engine: str, model: str | None = None, gpus: int = 1, dtype: str | None = None
) -> Scaling:
    """A scaling to a GPU, even of a deployment that was measured; errors as `deployment_like`."""
    return Scaling(deployment_like(None, model, gpu, engine, gpus, dtype))


def priced_gpus() -> list[tuple[Gpu, CarriedPrices]]:
    """Every GPU of which a data sheet ships, and its prices under vLLM."""
    gpus = [load_gpu(name) for name in gpu_names()]
    return [(gpu, _prices_on(gpu, PRICED_ENGINES[0])) for gpu in gpus]

"""Deployments that draw their tokens, or speculate with a draft."""

import math
from dataclasses import dataclass, fields, replace

from joulecast.estimator.flops import load_flops
from joulecast.estimator.ideal import Roofline
from joulecast.estimator.positions import within_positions
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time.state import StepTimes
from joulecast.estimator.steps.schedulers import Scheduler
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.law import UnitLaw
from joulecast.estimator.unit_prices.memory import (
    BLOCK_TOKENS,
    bytes_per_token,
    cache_bytes,
    scheduler_for,
)
from joulecast.estimator.unit_prices.model import Scaling, Served
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.variants.sampling import SampledLaw, SamplingCost, require_measured
from joulecast.estimator.variants.speculation import SpeculativeBatching
from joulecast.estimator.variants.speculative_law import (
    RoundHost,
    SpeculativeLaw,
    SpeculativeRoofline,
    measured_rounds,
)
from joulecast.measurements.engines.decoding import GREEDY, Decoding, Speculation
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.workload import Workload


@dataclass(frozen=True)
class Sampled(Scaling):
    """A deployment whose tokens are drawn.

    Attributes:
        decoding: How.
        measured: A table of the same deployment, which decoded greedily; None for prices that are
            scaled to it.
    """

    decoding: Decoding = GREEDY
    measured: EnergyTable | None = None

    @property
    def name(self) -> str:
        """In a few words."""
        greedy = self.deployment.text if self.measured is None else self.measured.name
        return f"{greedy}, {self.decoding.text}"

    @property
    def cost(self) -> SamplingCost:
        """What drawing takes."""
        return SamplingCost.of(self.decoding, self.deployment)

    def step_times(self, scheduler: ContinuousBatching) -> StepTimes:
        """How long the steps of such a scheduler last."""
        return self.cost.lengthened(super().step_times(scheduler))

    def step_model(self, workload: Workload) -> StepModel:
        """The step model of the deployment; arguments and errors as of `Scaling`."""
        if self.measured is None:
            model = super().step_model(workload)
        else:
            model = StepModel.of(self.measured)
        note = f"decoding: {self.decoding.text} over greedy as on one H200 with vLLM 0.22.0"
        basis = replace(model.basis, decoding=self.decoding.text, notes=(*model.basis.notes, note))
        law = SampledLaw(model.law, self.cost)
        return replace(model, name=self.name, basis=basis, law=law)


@dataclass(frozen=True)
class Speculated(Scaling):
    """A deployment that has a draft propose its tokens.

    Attributes:
        speculation: The draft, and what is proposed and accepted; always given.
        host: What the serving host needs for a round; None for what was measured.
    """

    speculation: Speculation | None = None
    host: RoundHost | None = None

    @property
    def name(self) -> str:
        """In a few words."""
        return f"{self.deployment.text}, speculating {self.proposed.text}"

    @property
    def proposed(self) -> Speculation:
        """The draft, and what is proposed and accepted."""
        if self.speculation is None:
            raise ValueError("a draft has to be named")
        return self.speculation

    @property
    def draft(self) -> Deployment:
        """The draft, as if it served alone on the same GPUs; its weights are not quantized."""
        return replace(self.deployment, model=self.proposed.draft, quantization=None)

    def step_model(self, workload: Workload) -> StepModel:
        """The step model of both; arguments and errors as of `Scaling`."""
        model = super().step_model(workload)
        law = model.law
        if not isinstance(law, UnitLaw):
            raise TypeError(f"{type(law).__name__} holds no prices per unit of work")
        draft, lookahead = self.draft, self.proposed.lookahead
        of_draft = Roofline(load_flops(draft.model), draft.shape, draft.gpu, draft.dtype)
        own = {field.name: getattr(model.roofline, field.name) for field in fields(Roofline)}
        version = measured_rounds()["engine_version"]
        note = f"speculation: priced by work, host time of vLLM {version} on one H200 host"
        kind = model.basis.kind
        return replace(
            model,
            name=self.name,
            basis=replace(
                model.basis,
                kind="model scaled" if kind == "measured" else kind,
                speculation=self.proposed.text,
                notes=(*model.basis.notes, note),
            ),
            roofline=SpeculativeRoofline(**own, draft=of_draft, lookahead=lookahead),
            law=SpeculativeLaw(
                **{field.name: getattr(law, field.name) for field in fields(UnitLaw)},
                draft=draft,
                lookahead=lookahead,
                host=self.host or RoundHost.of(lookahead),
            ),
        )

    def _scheduler(self, workload: Workload) -> Scheduler:
        """Who is fed when, with a cache that holds tokens of both models."""
        total = within_positions(workload, None, self.deployment.model).workload.total
        mean = (total.input_tokens + total.output_tokens) / max(1, total.requests)
        alone = scheduler_for(self.deployment, mean)
        blocks = shared_cache_tokens(self.deployment, self.draft, mean) // BLOCK_TOKENS
        if blocks < 1:
            raise InputError(
                f"{self.name}: the GPU holds the model, and no draft and a KV cache beside it; "
                "take a smaller draft"
            )
        batching = replace(alone, cache_blocks=blocks, steps_to_release=0)
        return SpeculativeBatching(batching, self.proposed)


def shared_cache_tokens(deployment: Deployment, draft: Deployment, request_tokens: float) -> int:
    """Tokens that the KV cache holds of a model and its draft; 0 or less if weights do not fit.

    Args:
        deployment: The model.
        draft: As if it served alone.
        request_tokens: Mean length of the requests [tokens].
    """
    shape = draft.shape
    left = cache_bytes(deployment) - shape.weight_bytes(draft.dtype, draft.quantization)
    each = sum(
        bytes_per_token(of.shape, of.dtype, max(1.0, request_tokens))
        * of.shape.cache_copies(of.gpus)
        for of in (deployment, draft)
    )
    return math.floor(left / each) // BLOCK_TOKENS * BLOCK_TOKENS


def variant_of(
    served: Served, decoding: Decoding, speculation: Speculation | None, table: EnergyTable | None
) -> Served:
    """What serves with tokens chosen in another way.

    Args:
        served: What serves greedily, without a draft.
        decoding: How tokens are chosen.
        speculation: The draft; None without one.
        table: What the user gave to scale from; None for the prices that ship.

    Raises:
        InputError: That was not measured, or does not go together.
    """
    if speculation is None and decoding == GREEDY:
        return served
    if isinstance(served, EnergyTable):
        scaling = Scaling(deployment_of(served.metadata, served.config), table=table)
    else:
        scaling = served
    if speculation is not None:
        _require_supported(scaling.deployment, decoding, speculation)
        return Speculated(scaling.deployment, scaling.watts, scaling.table, speculation)
    require_measured(decoding, scaling.deployment)
    measured = served if isinstance(served, EnergyTable) else None
    of_list = scaling.table if measured is None else None
    return Sampled(scaling.deployment, scaling.watts, of_list, decoding, measured)


def _require_supported(
    deployment: Deployment, decoding: Decoding, speculation: Speculation
) -> None:
    """Refuse to speculate where no window tells what that takes.

    Raises:
        InputError: None does; what can be done is said.
    """
    asked = f"--speculate {speculation.text}"
    if deployment.engine != "vllm":
        raise InputError(
            f"{asked}: was measured with vllm alone; for {deployment.engine} it takes windows of "
            f"joulecast measure --plan decoding --engine {deployment.engine} {asked}"
        )
    if decoding != GREEDY:
        raise InputError(f"{asked}: was measured with greedy decoding; leave --decoding out")
    if deployment.is_eager:
        raise InputError(f"{asked}: was not measured eager; leave --eager out")
    if deployment.gpus > 1:
        raise InputError(f"{asked}: was measured on one GPU; leave --gpus out, or --speculate")
    draft = load_shape(speculation.draft)
    if draft.vocabulary != deployment.shape.vocabulary:
        raise InputError(
            f"{asked}: the draft's {draft.vocabulary:,} tokens are not the "
            f"{deployment.shape.vocabulary:,} of {deployment.shape.name}; take another draft"
        )

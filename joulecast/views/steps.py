"""What an estimate shows of its interval, and where its joules go."""

from typing import TYPE_CHECKING

from rich.table import Table

from joulecast.estimator.attribution.attribution import Attribution
from joulecast.estimator.binned import count_batches
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.steps.check import PRICE_SD_BOUND
from joulecast.measurements.table.table import EnergyTable
from joulecast.views.numbers import energy_ends, joules, percent
from joulecast.views.parts import add_row, grid_table

if TYPE_CHECKING:
    from joulecast.estimator.unit_prices.model import Served

PART_LABELS = {
    "steps": "steps: reading the weights, launching kernels",
    "tokens": "tokens fed: linear layers",
    "context": "cached tokens read while decoding",
    "pairs": "prompt attention",
    "outputs": "tokens sampled: output head, scheduling",
    "requests": "requests taken in",
    "waiting": "waiting for the host to launch steps",
    "weight_bytes": "weights read",
    "linear_flops": "products of linear layers",
    "quantized_flops": "products of linear layers in 8 bits",
    "expert_flops": "products of routed experts",
    "cache_bytes": "cached tokens read while decoding",
    "wide_cache_bytes": "the same, more for wide heads",
    "attention_flops": "prompt attention",
    "head_flops": "output head",
    "layer_tokens": "what tokens take in layers besides",
    "experts_read": "experts begun",
    "link_bytes": "what GPUs send each other",
    "link_calls": "GPUs waiting for each other",
    "idle": "idle power all the time",
    "drawing": "drawing the tokens, over taking the likeliest",
    "pauses": "idle power with nothing to do",
}
SD_LABELS = {
    "coefficients": "coefficients",
    "shape": "the law for this mix of lengths",
    "repeat": "equal runs",
    "card": "equal cards",
    "sampling": "lengths drawn",
    "host": "how fast the host launches steps",
    "reconstruction": "lengths reconstructed",
    "model": "a model that was not measured",
    "gpu": "a GPU that was not measured",
    "format": "a number format that was not measured",
    "shared": "GPUs that share a model unmeasured",
    "drawing": "what drawing tokens costs",
    "speculation": "rounds of speculation",
    "idle": "idle power of cards",
}
_OWN_LABELS = {"card": "what is not known of this card", "idle": "its idle power"}


def interval_text(estimate: Estimate) -> str:
    """The interval, or nothing where there is none."""
    if estimate.interval_j is None:
        return ""
    low, high = estimate.interval_j
    return f"{joules(low)} to {joules(high)}"


def interval_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """The interval and the time, where the method has them."""
    facts = []
    if estimate.interval_j is not None:
        facts.append(("95 % interval", f"{interval_text(estimate)} ({_reach_text(estimate)})"))
    if estimate.seconds is not None and estimate.serving is None:
        power = f"{estimate.mean_power_w:.0f} W"
        facts.append(("time on the GPU", f"{estimate.seconds:,.4g} s at {power}"))
    return facts


def _reach_text(estimate: Estimate) -> str:
    """How far an interval reaches; where little is known, further up than down."""
    up = estimate.interval_percent or 0.0
    low_j = (estimate.interval_j or (estimate.energy_j,))[0]
    down = 100 * (1 - low_j / estimate.energy_j)
    if up - down < 0.1:
        return f"± {up:,.1f} %"
    return f"-{down:,.1f} to +{up:,.1f} %"


RECONSTRUCTED_NOTE = (
    "Reconstructed: the lengths were made up to have the published mean, sd, median and 99th "
    "percentile."
)


def binned_note(estimate: Estimate) -> str:
    """Why a binned estimate has no interval, and what is known of how far off it is."""
    return (
        "No interval: the binned method rounds lengths up to the grid, a bias that its "
        "measurements cannot size. Held against thirteen metered runs of vLLM, each of 500 to "
        "4,000 requests at once, it came out from 59 % too low to 88 % too high."
        f"{_batches_text(estimate)} The step model has an interval: --method stepwise."
    )


def _batches_text(estimate: Estimate) -> str:
    """What becomes of requests that fill no batch."""
    filled = count_batches(estimate.cells)
    requests = estimate.requests["estimated"]
    whose = "The request fills" if requests == 1 else f"The {requests:,} requests fill"
    if estimate.whole_batches:
        counted = count_batches(estimate.cells, whole_batches=True)
        full = f"{filled:,.1f}" if filled >= 1 else f"{filled:.2g}"
        return (
            f" {whose} {full} full batches; rounded up in every cell that makes {counted:,.0f}, "
            "which is far too much where it is many more."
        )
    if filled >= 1:
        return ""
    return (
        f" {whose} {filled:.2g} of a full batch, and binned counts that share of its energy, WHICH "
        "CAN BE FAR TOO LITTLE: one request of 128 and 32 tokens, alone, took 32 times as much "
        "with vLLM and 54 times with PyTorch."
    )


def interval_note(estimate: Estimate) -> str:
    """What the interval is made of, or why there is none."""
    if estimate.relative_sds is None:
        return binned_note(estimate)
    labels = SD_LABELS if estimate.own_card is None else {**SD_LABELS, **_OWN_LABELS}
    parts = ", ".join(f"{labels[name]} {percent(sd)}" for name, sd in estimate.relative_sds.items())
    note = f"The interval's relative standard deviations: {parts}."
    if not estimate.is_scaled and estimate.relative_sds["coefficients"] > PRICE_SD_BOUND:
        note += " The table has no runs like these requests (joulecast table check); measure more."
    return note


TOKEN_KINDS = {"input": "input", "cached": "cached input", "output": "output"}
"""Key of a share of an attribution -> what its tokens are called."""

DIVISION_NOTE = (
    "Figures per request and per token are as certain as the energy. What a step takes for all "
    "that it feeds is divided equally among the tokens, a definition that has no interval."
)


def attribution_view(estimate: Estimate) -> Table | None:
    """What tokens of each kind take, and waiting; None where the method does not tell."""
    attribution = estimate.attribution
    if attribution is None:
        return None
    view = grid_table()
    view.add_column("tokens")
    for heading in ("how many", "energy", "95 % interval", "share", "of 1,000 tokens"):
        view.add_column(heading, justify="right")
    for kind, called in TOKEN_KINDS.items():
        share = attribution.shares[kind]
        if share.j_per_token is not None:
            ends = " to ".join(energy_ends(*share.interval_j))
            part = percent(share.energy_j / estimate.energy_j)
            each, count = joules(1000 * share.j_per_token), f"{share.tokens:,.0f}"
            add_row(view, called, count, joules(share.energy_j), ends, part, each)
    if idle_j := attribution.idle_j:
        part = percent(idle_j / estimate.energy_j)
        add_row(view, "waiting", "", joules(idle_j), idle_ends(attribution), part, "")
    return view


def idle_ends(attribution: Attribution) -> str:
    """The interval of waiting, which is known as well as its watts."""
    idle = attribution.idle
    if not attribution.idle_j:
        return ""
    if idle is None:
        return "not known"
    each_j = attribution.idle_j / idle.power_w
    low_w, high_w = idle.interval_w
    return " to ".join(energy_ends(each_j * low_w, each_j * high_w))


def parts_view(estimate: Estimate, served: "Served") -> Table:
    """Where the joules go: each kind of work, and the least that it could take."""
    view = grid_table("where the joules go")
    view.add_column("work")
    for heading in ("energy", "share", "at the chip's peaks"):
        view.add_column(heading, justify="right")
    least_j = estimate.least_parts_j or {}
    for term, energy_j in (estimate.parts_j or {}).items():
        share = percent(energy_j / estimate.energy_j)
        add_row(view, PART_LABELS[term], joules(energy_j), share, joules(least_j[term]))
    roofline = joules(estimate.ideal_j["roofline"])
    add_row(view, "all, and the roofline", joules(estimate.energy_j), percent(1.0), roofline)
    if not isinstance(served, EnergyTable):
        return view
    idle_w = served.metadata["idle_power_w"]
    if idle_w is not None and estimate.seconds is not None:
        pauses_j = 0.0 if estimate.serving is None else estimate.serving.idle_j
        idle_j = idle_w * estimate.seconds + pauses_j
        share = percent(idle_j / estimate.energy_j)
        add_row(view, f"of these, idle power ({idle_w:.0f} W) all the time", joules(idle_j), share)
    return view

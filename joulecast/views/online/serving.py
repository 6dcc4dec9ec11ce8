"""Facts and remarks of how requests were served."""

from collections.abc import Mapping, Sequence

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.over_time.durations import duration, moment
from joulecast.estimator.over_time.serving import KEEPING_UP_SHARE, LATENCIES, Quantiles, Serving
from joulecast.estimator.steps.cached import CachedPrompts
from joulecast.views.numbers import joules, percent, plain_digits

OFFLINE_TEXT = "offline, all requests at once (a live server took 1.2 to 5 times as much)"
"""What an offline estimate is of; docs/meaning.md has the four runs that the factor is from."""

KEEPING_UP_TEXT = f"each busy no more than {100 * KEEPING_UP_SHARE:.0f} % of the time"
_COMPUTED_NOTE = (
    "The last token of a prompt is always computed, even where a cache holds all of it, since the "
    "first output follows from it; it counts as input, not as cached."
)
_ROUNDING_TOKENS = 0.5
_LONG = 3.0
"""Requests that come over so many times the time that they take leave the card waiting."""

_LIMITS = {
    "max_num_seqs": "requests that run at once:",
    "max_num_batched_tokens": "tokens that a step feeds:",
}


def serving_text(estimate: Estimate) -> str:
    """How the requests were served, in a line."""
    serving = estimate.serving
    if serving is None:
        return OFFLINE_TEXT
    rate = serving.requests_per_s
    came = f"over {duration(serving.arrivals_s)}" if serving.arrivals_s else "all at once"
    came += "" if rate is None else f", {plain_digits(rate)} a second"
    text = f"online, requests {serving.how}: {came}; {replicas_text(serving)}"
    if serving.scale_to_zero_s is None:
        return text
    return f"{text}; drawing nothing after {duration(serving.scale_to_zero_s)} with nothing to do"


def replicas_text(serving: Serving) -> str:
    """How many servers, and how busy they are."""
    busy = f"busy {percent(serving.busy_share)} of the time"
    if serving.replicas == 1:
        servers = "1 replica"
    else:
        servers = f"{serving.replicas:,} replicas ({serving.router})"
    if serving.objectives:
        texts = ", ".join(objective.text for objective in serving.objectives)
        return f"{servers}, the fewest with {texts}, {busy}"
    return f"{servers}, {busy}"


def serving_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """Where the energy of serving over time goes, and how long requests waited."""
    serving = estimate.serving
    if serving is None:
        return []
    idle = percent(serving.idle_j / estimate.energy_j)
    facts = [
        ("working, waiting", f"{joules(serving.work_j)} and {joules(serving.idle_j)} ({idle})"),
        ("all at once", f"{joules(serving.offline_j)}, were all requests there from the start"),
        ("mean power", f"{estimate.mean_power_w:,.0f} W over {duration(serving.span_s)}"),
    ]
    intervals = serving.latency_intervals_s()
    for name, text in LATENCIES.items():
        values, interval = serving.latencies[name], intervals[name]
        if values is not None and interval is not None:
            facts.append((text, quantiles_text(values)))
            facts.append(("  95 % interval", intervals_text(interval)))
    running = f"{plain_digits(serving.mean_running)} running"
    waiting = f"{plain_digits(serving.mean_waiting)} waiting, on average"
    facts.append(("requests", f"{running}, {waiting}{preempted_text(serving)}"))
    return [*facts, *([] if serving.reading is None else [("times", serving.reading)])]


def cached_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """What a cache of prefixes saves; nothing where it held nothing, or where that is not known."""
    cached = estimate.cached
    if cached is None or not cached.tokens:
        return []
    text = f"{cached.tokens:,} of {cached.input_tokens:,} input tokens ({_share(cached)})"
    if cached.is_read:
        saved = percent(cached.saved_j(estimate.energy_j) / cached.uncached_j)
        text += f"; were none, it would take {joules(cached.uncached_j)} ({saved} saved)"
    return [("cached", text)]


def _share(cached: CachedPrompts) -> str:
    return percent(cached.share_of_input)


def last_token_notes(estimate: Estimate) -> list[str]:
    """Why fewer tokens are read from a cache than it is said to hold; nothing where all are."""
    cached, attribution = estimate.cached, estimate.attribution
    if cached is None or attribution is None or not cached.is_read:
        return []
    is_all_read = cached.tokens - attribution.shares["cached"].tokens < _ROUNDING_TOKENS
    return [] if is_all_read else [_COMPUTED_NOTE]


def cached_notes(estimate: Estimate) -> list[str]:
    """What a reader has to know of cached prompts: what is made of them, and what was metered."""
    cached = estimate.cached
    if cached is None or not cached.tokens:
        return []
    said = f"{cached.tokens:,} input tokens ({_share(cached)}) were in a cache of prefixes"
    if cached.is_read:
        note = (
            f"{said}: they are read and not computed. No server with such a cache was metered, and "
            "the interval does not hold what that may be off by."
        )
        return [note, *last_token_notes(estimate)]
    if estimate.method == "binned":
        return [f"{said}, of which the binned method knows nothing: they count as computed."]
    return [f"{said}, which plain PyTorch does not have: they are computed like all others."]


def preempted_text(serving: Serving) -> str:
    """How often requests had to start over, if any had to."""
    if not serving.preempted:
        return ""
    return f"; {serving.preempted:,} times one had to give its cache back and start over"


def limits_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """What-ifs of the engine's limits."""
    texts = [f"{_LIMITS[name]} at most {limit:,}" for name, limit in estimate.limits.items()]
    lines = [estimate.thinning.text] if estimate.thinning is not None else []
    lines += [", ".join(texts)] if texts else []
    return [("what if", line) for line in lines]


def waiting_text(estimate: Estimate) -> str:
    """How long requests waited, in few words."""
    if estimate.serving is None:
        return ""
    return ", ".join(
        f"{name} {moment(values.p50)} (p50), {moment(values.p99)} (p99)"
        for name, values in estimate.serving.latencies.items()
        if values is not None
    )


def quantiles_text(values: Quantiles) -> str:
    """Median, the tails and the mean."""
    return (
        f"{moment(values.p50)} (p50), {moment(values.p90)} (p90), {moment(values.p99)} (p99); "
        f"{moment(values.mean)} on average"
    )


def intervals_text(intervals: Mapping[str, Sequence[float]]) -> str:
    """The same of 95 % intervals [s]."""
    p50, p90, p99, mean = (_span_text(*intervals[name]) for name in Quantiles.__dataclass_fields__)
    return f"{p50}, {p90}, {p99}; {mean}"


def _span_text(low_s: float, high_s: float) -> str:
    """From one to the other [s], with their unit once."""
    (low, *of_low), (high, *of_high) = moment(low_s).split(), moment(high_s).split()
    return " ".join([low, *(of_low if of_low != of_high else []), "to", high, *of_high])


def serving_notes(estimate: Estimate) -> list[str]:
    """What a reader has to know of how the requests were served."""
    serving = estimate.serving
    if serving is None:
        return []
    notes = []
    busy_s = serving.busy_share * serving.replicas * serving.span_s
    if serving.span_s > _LONG * busy_s / serving.replicas and serving.idle_j > 0:
        share = percent(serving.idle_j / estimate.energy_j)
        notes.append(
            f"The requests take {duration(busy_s)} of work and come over "
            f"{duration(serving.span_s)}: {share} of the energy is drawn with nothing to do."
        )
    if serving.untimed:
        notes.append(
            f"Requests without a time: {serving.untimed:,}. They are not served over time; what "
            "they take comes on top."
        )
    if serving.replicas_needed is not None:
        which = "1 REPLICA" if serving.replicas == 1 else f"{serving.replicas:,} REPLICAS"
        notes.append(
            f"THE REQUESTS COME FASTER THAN {which} CAN SERVE THEM: the queue grows as long as "
            f"they come; about {serving.replicas_needed:,} replicas would keep up (--replicas), "
            f"{KEEPING_UP_TEXT}."
        )
    notes.append(f"Intervals of latencies: by how far off were {serving.spread.stands_on}.")
    return notes

"""What makes two measurements comparable: the kind that must be one, and conditions that count.

A table speaks for another measurement only of its own kind. Under other conditions, such as another
version of the engine or another power limit, it may be held against one, if every difference is
told. docs/measure.md has the list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from joulecast.measurements.engines import EngineVariant
from joulecast.measurements.engines.decoding import GREEDY, Decoding, Speculation
from joulecast.measurements.engines.decoding_rules import decoding_settings
from joulecast.traces.errors import InputError

Facts = Mapping[str, Any]
"""Of table.json or of a replay, as `facts.MEASURED` checks them."""

_KIND = "gpu", "model", "engine", "dtype"
_KIND_SETTINGS = (
    "quantization",
    "eager",
    "compiled",
    "tensor_parallel_size",
    "decoding_strategy",
    "speculation",
)
_CONDITIONS = "engine_version", "power_limit_w"
_NO_CONDITIONS = {"torch", "allocator", "max_model_len", "gpu_memory_utilization"}
"""Settings that differ from card to card or from request to request, and are seen in what they do:
the memory that they leave to the KV cache, and the largest batches."""

_FROM_FREE_MEMORY = "kv_cache_tokens"
_TOLERANCE = 0.05
"""How far the KV caches of two cards may lie apart: they hold what other things leave free."""


@dataclass(frozen=True)
class Difference:
    """Something in which two measurements differ.

    Attributes:
        setting: What it is, as table.json names it.
        ours: Its value in the first measurement.
        theirs: In the second.
    """

    setting: str
    ours: Any
    theirs: Any

    def text(self, ours: str, theirs: str) -> str:
        """In words, with where the two values stand: "in the table", "in the replay"."""
        return f"{self.setting} is {_shown(self.theirs)} {theirs}, {_shown(self.ours)} {ours}"


def kind_of(facts: Facts) -> dict[str, Any]:
    """What two measurements must share for one to speak for the other.

    What older ones do not say was not to be had when they were made.
    """
    settings = facts["engine_settings"]
    gpu_count = facts.get("gpu_count", 1)
    absent = {
        "eager": False,
        "compiled": False,
        "tensor_parallel_size": gpu_count,
        "decoding_strategy": GREEDY.text,
    }
    kind = {**{key: facts[key] for key in _KIND}, "gpu_count": gpu_count}
    for key in _KIND_SETTINGS:
        value = settings.get(key)
        kind[key] = absent.get(key) if value is None else value
    return kind


def kind_differences(facts: Facts, others: Facts) -> list[Difference]:
    """What makes two measurements two kinds; nothing if they are of one."""
    ours, theirs = kind_of(facts), kind_of(others)
    return [
        Difference(key, ours[key], theirs[key])
        for key in ours
        if not _is_same(ours[key], theirs[key])
    ]


def condition_differences(facts: Facts, others: Facts) -> list[Difference]:
    """The conditions in which two measurements of one kind differ.

    What one of them does not say is not known to differ.
    """
    return [
        Difference(key, ours, theirs)
        for key, ours, theirs in _conditions(facts, others)
        if ours is not None
        and theirs is not None
        and not _is_same(ours, theirs)
        and not (key == _FROM_FREE_MEMORY and _is_near(ours, theirs))
    ]


def differences(facts: Facts, others: Facts) -> list[Difference]:
    """Differences in kind; in conditions where there are none."""
    return kind_differences(facts, others) or condition_differences(facts, others)


def is_of_variant(facts: Facts, variant: EngineVariant) -> bool:
    """Whether a table of a resolved variant's engine was measured with it, budgets aside."""
    kind = kind_of(facts)
    asked = variant.gpus, variant.quantization
    is_compiled = kind["compiled"] if facts["engine"] == "pytorch" else not kind["eager"]
    decoding = decoding_settings(variant)
    return (
        (kind["gpu_count"], kind["quantization"]) == asked
        and is_compiled == variant.compiled
        and decoding == {key: kind[key] for key in decoding}
    )


def other_decoding(facts: Facts) -> str | None:
    """How tokens were chosen, in words, where it was not greedily and without a draft."""
    kind = kind_of(facts)
    if kind["speculation"] is not None:
        return f"with --speculate {kind['speculation']}"
    strategy = kind["decoding_strategy"]
    return None if strategy == GREEDY.text else f"with --decoding {strategy}"


def require_greedy(facts: Facts, name: str) -> None:
    """Refuse to take for greedy decoding without a draft what is not.

    Args:
        facts: Of a measurement.
        name: What it is called.

    Raises:
        InputError: It is not.
    """
    if words := other_decoding(facts):
        raise InputError(
            f"{name}: was measured {words}; forecasts rest on tables of greedy decoding without a "
            "draft; name one of those, or none"
        )


def check_variant(facts: Facts) -> None:
    """Hold what an engine was asked for against what it says of itself.

    Raises:
        ValueError: They contradict each other.
    """
    if "variant" not in facts:
        return
    asked, kind = facts["variant"], kind_of(facts)
    served = {"gpus": kind["gpu_count"], "quantization": kind["quantization"]}
    _check_decoding(asked, kind)
    for key, value in served.items():
        if asked[key] != value:
            raise ValueError(
                f'"variant.{key}" is {_shown(asked[key])}, and what was measured is {_shown(value)}'
            )


def _check_decoding(asked: Mapping[str, Any], kind: Mapping[str, Any]) -> None:
    """The same for how tokens are chosen, of which tables from before do not tell."""
    speculation = asked.get("speculation")
    texts = {
        "decoding_strategy": Decoding(**asked.get("decoding", {})).text,
        "speculation": None if speculation is None else Speculation(**speculation).text,
    }
    for key, text in texts.items():
        if kind[key] != text:
            raise ValueError(
                f'"variant" asks for {key} {_shown(text)}, and what was measured is '
                f"{_shown(kind[key])}"
            )


def _conditions(facts: Facts, others: Facts) -> Iterator[tuple[str, Any, Any]]:
    """Each condition with its two values; None where one is not known."""
    for key in _CONDITIONS:
        yield key, facts.get(key), others.get(key)
    yield "weights", _weights_kind(facts), _weights_kind(others)
    ours, theirs = facts["engine_settings"], others["engine_settings"]
    # Whatever an engine says of itself counts, so that what a later one adds is not passed over.
    for key in ours:
        if key in theirs and key not in _NO_CONDITIONS and key not in _KIND_SETTINGS:
            yield key, ours[key], theirs[key]


def _weights_kind(facts: Facts) -> str | None:
    """Whether weights were drawn or a model's own, by the words for them; None if not told."""
    words = str(facts.get("weights") or "")
    if words.startswith(("drawn", "random")):
        return "random"
    return "a model's own" if words.startswith("given") else words or None


def _is_same(ours: Any, theirs: Any) -> bool:
    """Equality that takes no truth for a number."""
    return isinstance(ours, bool) == isinstance(theirs, bool) and bool(ours == theirs)


def _is_near(ours: Any, theirs: Any) -> bool:
    counts = [value for value in (ours, theirs) if type(value) in {int, float} and value > 0]
    return len(counts) == 2 and max(counts) <= (1 + _TOLERANCE) * min(counts)


def _shown(value: Any) -> str:
    """A value as a sentence has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)

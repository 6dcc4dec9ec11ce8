"""BoAmps, Boavizta's report of the energy of an AI task.

Data model: github.com/Boavizta/BoAmps, folder `model`, format version 0.1 (CC-BY-4.0).
"""

from typing import Any

from joulecast.exports.facts import Facts
from joulecast.exports.places import place_of
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.version import VERSION

_BYTES_PER_GB = 1_000_000_000
_MAKERS = ("NVIDIA", "AMD", "Intel")
_QUALITY = {10: "high", 25: "medium", 50: "low"}
"""Largest error [%] -> how the format calls it."""


def boamps_report(facts: Facts) -> dict[str, Any]:
    """An estimate as a BoAmps report.

    The energy is that of the servers (of their GPUs alone, if no overhead was given), as a meter
    there would show it; the building is no part of the format. What is not known is left out, but
    for `infraType`, which the format asks for: "other" unless a cloud was named.
    """
    report = {
        "header": {
            "formatVersion": "0.1",
            "formatVersionSpecificationUri": "https://github.com/Boavizta/BoAmps/tree/main/model",
            "reportId": str(facts.identifier),
            "reportDatetime": f"{facts.made:%Y-%m-%d %H:%M:%S}",
        },
        "task": _task(facts),
        "measures": [_measure(facts)],
        "infrastructure": _infrastructure(facts),
    }
    if (environment := _environment(facts)) is not None:
        report["environment"] = environment
    if (quality := _quality(facts)) is not None:
        report["quality"] = quality
    return report


def _task(facts: Facts) -> dict[str, Any]:
    tokens = facts.estimate.estimated_tokens
    algorithm: dict[str, Any] = {
        "algorithmType": "llm",
        "foundationModelName": facts.model,
        "parametersNumber": round(facts.shape.parameters / 1e9, 3),
        "framework": facts.basis.engine,
        "layersNumber": len(facts.shape.layers),
        "quantization": facts.basis.dtype,
    }
    if facts.engine_version is not None:
        algorithm["frameworkVersion"] = facts.engine_version
    return {
        "taskStage": "inference",
        "taskFamily": "textGeneration",
        "nbRequest": facts.requests,
        "algorithms": [algorithm],
        "dataset": [
            {
                "dataUsage": usage,
                "dataType": "token",
                "dataQuantity": round(tokens[usage] / facts.requests, 3),
            }
            for usage in ("input", "output")
        ],
        "taskDescription": (
            f"{facts.source_text}. Trace {facts.trace}, {facts.circumstances_text}; "
            f"powerConsumption is the {_what(facts)} energy of {facts.requests_text}, dataQuantity "
            f"the mean of one. {_interval_text(facts)}."
        ),
    }


def _what(facts: Facts) -> str:
    return "GPU" if facts.facility.server_overhead is None else "IT"


def _interval_text(facts: Facts) -> str:
    """The interval of the energy that is reported, which has no field of its own."""
    ends_j = facts.estimate.interval_j
    if ends_j is None:
        return "No interval: the method does not support one"
    low, high = (facts.facility.it_energy_j(end_j) / JOULES_PER_KWH for end_j in ends_j)
    return f"95 % interval {low:.6g} to {high:.6g} kWh"


def _measure(facts: Facts) -> dict[str, Any]:
    measure: dict[str, Any] = {
        "measurementMethod": f"joulecast forecast, {_what(facts)} energy",
        "version": VERSION,
        "powerConsumption": facts.it_energy_kwh,
    }
    if facts.seconds is not None:
        measure["measurementDuration"] = facts.seconds
    return measure


def _infrastructure(facts: Facts) -> dict[str, Any]:
    maker, _, product = facts.gpu.product.partition(" ")
    component = {
        "componentName": facts.gpu.product,
        "componentType": "gpu",
        "nbComponent": facts.gpus,
        "memorySize": round(facts.gpu.memory_bytes / _BYTES_PER_GB),
    }
    if maker in _MAKERS:
        component |= {"manufacturer": maker, "series": product}
    cloud = None if facts.carbon is None else facts.carbon.cloud
    if cloud is None:
        return {"infraType": "other", "components": [component]}
    return {
        "infraType": "publicCloud",
        "cloudProvider": cloud.provider,
        "components": [component],
    }


def _environment(facts: Facts) -> dict[str, Any] | None:
    place = place_of(facts.carbon)
    if place is None or facts.carbon is None:
        return None
    environment: dict[str, Any] = {"country": place.country}
    parts = [place.part, None if facts.carbon.cloud is None else facts.carbon.cloud.region]
    if any(parts):
        environment["location"] = ", ".join(part for part in parts if part)
    if facts.carbon.gas == "CO2e":  # the field's unit; CO2 alone would be taken for more
        environment["powerSourceCarbonIntensity"] = facts.carbon.g_per_kwh
    return environment


def _quality(facts: Facts) -> str | None:
    """How far off the energy may be, in the format's three steps; None if that is not known.

    A server overhead has no interval, so of an energy that holds one nothing is said.
    """
    percent = facts.estimate.interval_percent
    if percent is None or facts.facility.server_overhead is not None:
        return None
    return next((name for most, name in _QUALITY.items() if percent <= most), None)

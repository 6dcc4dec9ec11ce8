"""The Software Carbon Intensity (ISO/IEC 21031), as a manifest of the Impact Framework.

SCI = (E x I + M) per R: energy [kWh], carbon intensity [gCO2e/kWh], embodied emissions [gCO2e], and
a functional unit, here a request. Both are of the Green Software Foundation; the manifest is that
of @grnsft/if 1.1.0 (MIT), which computes it anew from E, I and R.
"""

from typing import Any

from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.exports.facts import LEVEL, Facts
from joulecast.traces.errors import InputError


def check_sci(carbon: CarbonIntensity | None, has_time: bool) -> None:
    """Refuse what a manifest cannot be made of.

    Raises:
        InputError: There is no carbon intensity, or no time, which a manifest asks for.
    """
    if carbon is None:
        raise InputError(
            "an export to sci needs a carbon intensity; give --carbon, such as --carbon FR"
        )
    if not has_time:
        raise InputError(
            "an export to sci needs the time that serving takes, which the method binned does not "
            "tell; take --method stepwise"
        )


def sci_manifest(facts: Facts) -> dict[str, Any]:
    """An estimate as a manifest, which has E x I per R: M is not known, and is said to be missing.

    Raises:
        InputError: As `check_sci`.
    """
    check_sci(facts.carbon, facts.seconds is not None)
    inputs = _inputs(facts)
    return {
        "name": f"{facts.trace} on {facts.gpus} x {facts.gpu.product}",
        "description": _description(facts),
        "tags": {"kind": "llm-inference", "category": "forecast"},
        "initialize": {"plugins": _plugins()},
        "tree": {
            "children": {
                "serving": {
                    "pipeline": {"compute": ["operational-carbon", "sci"]},
                    "inputs": [inputs],
                    "outputs": [{**inputs, **_outputs(facts)}],
                }
            }
        },
    }


def _plugins() -> dict[str, Any]:
    return {
        "operational-carbon": {
            "path": "builtin",
            "method": "Multiply",
            "config": {
                "input-parameters": ["energy", "grid/carbon-intensity"],
                "output-parameter": "carbon",
            },
        },
        "sci": {"path": "builtin", "method": "Sci", "config": {"functional-unit": "requests"}},
    }


def _inputs(facts: Facts) -> dict[str, Any]:
    """E, I and R; the ends of E's interval beside it, which no plugin reads."""
    inputs: dict[str, Any] = {
        "timestamp": f"{facts.made:%Y-%m-%dT%H:%M:%SZ}",
        "duration": facts.seconds,
        "energy": facts.energy_kwh,
        "grid/carbon-intensity": None if facts.carbon is None else facts.carbon.g_per_kwh,
        "requests": facts.requests,
    }
    if facts.interval_kwh is not None:
        inputs["energy-interval-low"], inputs["energy-interval-high"] = facts.interval_kwh
    return inputs


def _outputs(facts: Facts) -> dict[str, Any]:
    carbon_g = facts.carbon_g or 0.0
    return {"carbon": carbon_g, "sci": carbon_g / facts.requests}


def _description(facts: Facts) -> str:
    """How it was made, its boundary, and what it lacks."""
    interval = "no interval: the method does not support one"
    if facts.carbon_interval_g is not None:
        low_g, high_g = (end_g / facts.requests for end_g in facts.carbon_interval_g)
        interval = f"{LEVEL} interval {low_g:.6g} to {high_g:.6g} g per request, of E alone"
    return (
        f"{facts.source_text}. SCI = (E x I + M) per R with R a request. Trace {facts.trace}, "
        f"{facts.circumstances_text}. E: {facts.boundary_text}, for {facts.requests_text}. "
        f"I: {facts.carbon_text}. M: the embodied emissions of the hardware are not known and left "
        f"out, so sci is (E x I) per R, less than the whole. {interval}. The timestamp is of the "
        "forecast."
    )

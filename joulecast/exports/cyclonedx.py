"""An ML-BOM of CycloneDX: the model, with the energy of serving it in its model card.

Specification: CycloneDX 1.6 (ECMA-424), modelCard.considerations.environmentalConsiderations.
"""

from typing import Any

from joulecast.exports.facts import LEVEL, Facts
from joulecast.version import VERSION

SPEC_VERSION = "1.6"
_GRAMS_PER_TONNE = 1_000_000


def cyclonedx_bom(facts: Facts) -> dict[str, Any]:
    """An estimate as an ML-BOM.

    The cost of the activity is the widest energy that is told; what it is of, and its interval, are
    properties. The interval of a request's energy has a place of its own, the confidence interval
    of a metric. Who provides the energy is not known, so that list is empty.
    """
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{facts.identifier}",
        "version": 1,
        "metadata": {
            "timestamp": f"{facts.made:%Y-%m-%dT%H:%M:%SZ}",
            "tools": {
                "components": [{"type": "application", "name": "joulecast", "version": VERSION}]
            },
        },
        "components": [
            {
                "type": "machine-learning-model",
                "bom-ref": f"model:{facts.model}",
                "name": facts.model,
                "modelCard": {
                    "quantitativeAnalysis": {"performanceMetrics": [_per_request(facts)]},
                    "considerations": {
                        "environmentalConsiderations": {"energyConsumptions": [_inference(facts)]}
                    },
                },
            }
        ],
    }


def _per_request(facts: Facts) -> dict[str, Any]:
    """GPU energy of a request, with the interval where the format has one."""
    estimate = facts.estimate
    metric: dict[str, Any] = {
        "type": "forecast GPU energy per request [J]",
        "value": f"{estimate.joules_per_request:.6g}",
    }
    if estimate.interval_j is not None:
        low_j, high_j = (end_j / facts.requests for end_j in estimate.interval_j)
        metric["confidenceInterval"] = {
            "lowerBound": f"{low_j:.6g}",
            "upperBound": f"{high_j:.6g}",
        }
    return metric


def _inference(facts: Facts) -> dict[str, Any]:
    consumption: dict[str, Any] = {
        "activity": "inference",
        "energyProviders": [],
        "activityEnergyCost": {"value": facts.energy_kwh, "unit": "kWh"},
    }
    if facts.carbon_g is not None and facts.carbon is not None and facts.carbon.gas == "CO2e":
        tonnes = facts.carbon_g / _GRAMS_PER_TONNE
        consumption["co2CostEquivalent"] = {"value": tonnes, "unit": "tCO2eq"}
    consumption["properties"] = [
        {"name": f"joulecast:{name}", "value": value}
        for name, value in _properties(facts).items()
        if value
    ]
    return consumption


def _properties(facts: Facts) -> dict[str, str]:
    """What the format has no field for; empty texts are left out."""
    estimate, overhead = facts.estimate, facts.facility.server_overhead
    properties = {
        "method": facts.source_text,
        "serving": facts.serving_text,
        "variant": facts.variant_text,
        "what_if": facts.what_if_text,
        "boundary": facts.boundary_text,
        "gpu_energy_kwh": f"{estimate.energy_kwh:.9g}",
        "it_energy_kwh": "" if overhead is None else f"{facts.it_energy_kwh:.9g}",
        "interval_level": "" if facts.interval_kwh is None else LEVEL,
        "trace": facts.trace,
        "requests": str(facts.requests),
        "requests_of_trace": facts.requests_text,
        "gpus": f"{facts.gpus} x {facts.gpu.product}",
        "engine": " ".join(filter(None, (facts.basis.engine, facts.engine_version))),
        "dtype": facts.basis.dtype,
        "basis": ", ".join(facts.basis.tables),
        "seconds": "" if facts.seconds is None else f"{facts.seconds:.9g}",
        "carbon_intensity": facts.carbon_text,
    }
    if facts.interval_kwh is not None:
        low_kwh, high_kwh = facts.interval_kwh
        properties["interval_low_kwh"] = f"{low_kwh:.9g}"
        properties["interval_high_kwh"] = f"{high_kwh:.9g}"
    if facts.carbon is not None and facts.carbon.gas != "CO2e" and facts.carbon_g is not None:
        properties[f"carbon_g_{facts.carbon.gas.lower()}"] = f"{facts.carbon_g:.9g}"
    return properties

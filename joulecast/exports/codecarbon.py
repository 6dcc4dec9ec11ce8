"""The emissions.csv of CodeCarbon, a row per run.

Columns: the fields of `EmissionsData` in CodeCarbon 3.3.2 (MIT), codecarbon/output_methods.
"""

import csv
import io
from typing import Any

from joulecast.exports.facts import Facts
from joulecast.exports.places import place_of
from joulecast.measurements.gpu.meter import JOULES_PER_KWH

_GRAMS_PER_KG = 1000

COLUMNS = (
    "timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions",
    "emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy",
    "ram_energy", "energy_consumed", "water_consumed", "country_name", "country_iso_code",
    "region", "cloud_provider", "cloud_region", "os", "python_version", "codecarbon_version",
    "cpu_count", "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude",
    "ram_total_size", "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent",
    "ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue",
)  # fmt: skip


def codecarbon_row(facts: Facts) -> dict[str, Any]:
    """An estimate as a row of emissions.csv.

    As CodeCarbon does, energies and powers are those of the hardware times the PUE [kWh, W], and
    emissions are of all of it [kg]. Processors and memory are not told apart from the rest of the
    server, so theirs are empty, as is all else that is not known.
    """
    pue = facts.facility.pue or 1.0
    gpu_kwh = pue * facts.estimate.energy_j / JOULES_PER_KWH
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "timestamp": f"{facts.made:%Y-%m-%dT%H:%M:%S}",
        "project_name": (
            f"joulecast forecast of {facts.trace}, {facts.requests_text}, "
            f"{facts.circumstances_text}"
        ),
        "run_id": str(facts.identifier),
        "gpu_energy": gpu_kwh,
        "energy_consumed": facts.energy_kwh,
        "gpu_count": facts.gpus,
        "gpu_model": f"{facts.gpus} x {facts.gpu.product}",
        "tracking_mode": "forecast",
        "pue": facts.facility.pue,
    }
    if facts.seconds is not None:
        row["duration"] = facts.seconds
        row["gpu_power"] = gpu_kwh * JOULES_PER_KWH / facts.seconds
    if facts.carbon_g is not None:
        row["emissions"] = facts.carbon_g / _GRAMS_PER_KG
        if facts.seconds is not None:
            row["emissions_rate"] = row["emissions"] / facts.seconds
    return row | _where(facts)


def _where(facts: Facts) -> dict[str, Any]:
    place = place_of(facts.carbon)
    where: dict[str, Any] = {}
    if place is not None:
        where = {"country_name": place.country, "country_iso_code": place.iso_code}
        where["region"] = None if place.part is None else place.part.lower()
    cloud = None if facts.carbon is None else facts.carbon.cloud
    if cloud is not None:
        where |= {"cloud_provider": cloud.provider, "cloud_region": cloud.region, "on_cloud": "Y"}
    return where


def codecarbon_text(facts: Facts) -> str:
    """The file: its columns and one row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerow(codecarbon_row(facts))
    return text.getvalue()

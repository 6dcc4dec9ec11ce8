"""Carbon intensity of electricity by region, from the data that CodeCarbon ships.

Its files lie in codecarbon/ as they are in its release; the package itself would bring 29 others.

Annual averages: countries and Nordic bidding zones by the generation there, US states by the rate
that the EPA publishes, Chinese provinces by the factor that the ministry publishes. Each value has
its year and its scope, since these differ in what they count.
"""

import difflib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from joulecast.estimator.footprint.cloud_regions import CloudRegion, find_cloud_region
from joulecast.traces.errors import InputError
from joulecast.traces.html import html_table
from joulecast.traces.reading.formats import shorten

RELEASE = "CodeCarbon 3.3.2"
"""Whose files they are."""

_GRAMS_PER_POUND = 453.59237
_KWH_PER_MWH = 1000
_MOST_G_PER_KWH = 100_000
_RESERVED = {"UK": "GBR"}
"""Codes that ISO 3166-1 reserves for what has another."""

Scope = Literal["life-cycle", "output rate", "combustion"]
Gas = Literal["CO2e", "CO2"]

SCOPES: dict[Scope, str] = {
    "life-cycle": "of all generation there, with what building the plants and mining the fuel emit",
    "output rate": "what the plants there emit over all that they generate, no life cycle",
    "combustion": "what burning fuel emits over all generation, no life cycle",
}
"""What a carbon intensity counts -> in words."""


@dataclass(frozen=True)
class CarbonIntensity:
    """What a kilowatt hour emits.

    Attributes:
        g_per_kwh: Carbon intensity [gCO2e/kWh].
        region: Code, such as "FRA" or "US-CA"; None where the user gave the number.
        name: Of the region; None likewise.
        year: Of the value; None likewise.
        source: Where the number is from.
        scope: What it counts; None likewise.
        gas: "CO2" where other greenhouse gases are left out.
        unknown_share: Share of the generation whose kind has no factor, which counts as 0: where
            there is any, the intensity is a lower bound.
        cloud: The region of a cloud that it was asked for by; None if by another name.
    """

    g_per_kwh: float
    region: str | None = None
    name: str | None = None
    year: int | None = None
    source: str = "given"
    scope: Scope | None = None
    gas: Gas = "CO2e"
    unknown_share: float = 0.0
    cloud: CloudRegion | None = None

    def __post_init__(self) -> None:
        """Refuse a number that no electricity has."""
        if not 0 <= self.g_per_kwh <= _MOST_G_PER_KWH:
            raise InputError(
                f"a carbon intensity of {self.g_per_kwh:,.7g} gCO2e/kWh: it is a number from 0 to "
                f"{_MOST_G_PER_KWH:,}"
            )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_table(("", ""), [(key, str(value)) for key, value in self.to_dict().items()])

    def to_dict(self) -> dict[str, Any]:
        """The intensity as plain JSON values."""
        return {
            "g_per_kwh": self.g_per_kwh,
            "region": self.region,
            "name": self.name,
            "year": self.year,
            "source": self.source,
            "scope": self.scope,
            "gas": self.gas,
            "unknown_share": self.unknown_share,
            "cloud": None if self.cloud is None else self.cloud.to_dict(),
        }


@cache
def regions() -> dict[str, CarbonIntensity]:
    """Every region with a known intensity, by code.

    Codes are ISO 3166-1 alpha-3 for countries ("FRA"), ISO 3166-2 for US states and Chinese
    provinces ("US-CA", "CN-BJ"), and the names of bidding zones in Sweden and Norway ("SE3").
    Values of 0 are left out: CodeCarbon has them where next to nothing is known.

    Returns:
        Code -> intensity [gCO2e/kWh] with its year and source, sorted by code.
    """
    by_code = {
        code: CarbonIntensity(
            float(mix["carbon_intensity"]),
            code,
            mix["country_name"],
            int(mix["year"]),
            f"{RELEASE}, global_energy_mix.json",
            "life-cycle",
        )
        for code, mix in _codecarbon("global_energy_mix.json").items()
        if mix.get("carbon_intensity") is not None
    }
    states = _codecarbon("usa_emissions.json")
    for name, state in states.items():
        if name.startswith("_"):
            continue
        code = f"US-{state['regionCode']}"
        by_code[code] = CarbonIntensity(
            float(state["emissions"]) * _GRAMS_PER_POUND / _KWH_PER_MWH,
            code,
            f"{name.title()}, United States",
            int(states["_source"]["year"]),
            f"{RELEASE}, usa_emissions.json",
            "output rate",
        )
    by_code |= _nordic_zones() | _chinese_provinces()
    return {
        code: intensity for code, intensity in sorted(by_code.items()) if intensity.g_per_kwh > 0
    }


def _nordic_zones() -> dict[str, CarbonIntensity]:
    """Bidding zones; of Finland, which is one, the country has a value of its own."""
    file = "nordic_emissions.json"
    return {
        code: CarbonIntensity(
            float(zone["emission_factor"]),
            code,
            zone["description"],
            int(zone["year"]),
            f"{RELEASE}, {file}",
            "life-cycle",
            unknown_share=round(1 - float(zone["coverage"].partition("%")[0]) / 100, 6),
        )
        for code, zone in _codecarbon(file)["data"].items()
        if code != "FI"
    }


def _chinese_provinces() -> dict[str, CarbonIntensity]:
    file = "china_provincial_emissions.json"
    return {
        code: CarbonIntensity(
            float(province["emission_factor"]),
            code,
            f"{province['description']}, China",
            int(province["year"]),
            f"{RELEASE}, {file}",
            "combustion",
            "CO2",
        )
        for code, province in _codecarbon(file)["data"].items()
    }


def _codecarbon(file: str) -> dict[str, Any]:
    path = files("joulecast.estimator.footprint") / "codecarbon" / file
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def find_region(name: str) -> CarbonIntensity:
    """The intensity of a region.

    Args:
        name: A code of `regions`, an ISO 3166-1 alpha-2 code ("FR"), the name of a country, a US
            state or a Chinese province ("France", "California"), or a region of AWS, Azure or
            Google Cloud ("us-east-1"), in any case. Countries win: "Georgia" is one.

    Returns:
        The annual average [gCO2e/kWh] with its year and source.

    Raises:
        InputError: No such region, or none whose intensity is known.
    """
    import pycountry

    by_code = regions()
    stripped = name.strip()
    code = _RESERVED.get(stripped.upper(), stripped.upper())
    if code in by_code:
        return by_code[code]
    if (cloud := find_cloud_region(stripped)) is not None:
        return replace(by_code[cloud.carbon_region], cloud=cloud)
    by_name: dict[str, str] = {}
    for region, intensity in by_code.items():
        whole = str(intensity.name).casefold()
        by_name.setdefault(whole, region)
        by_name.setdefault(whole.partition(",")[0], region)
    try:
        country = pycountry.countries.lookup(stripped)
    except LookupError:
        country = None
    if country is not None and country.alpha_3 in by_code:
        return by_code[country.alpha_3]
    if stripped.casefold() in by_name:
        return by_code[by_name[stripped.casefold()]]
    if country is not None:
        raise InputError(
            f"{name}: CodeCarbon has no carbon intensity of {country.name}; give gCO2e/kWh"
        )
    near = difflib.get_close_matches(stripped.casefold(), by_name, n=1, cutoff=0.8)
    advice = "joulecast regions lists them, or give gCO2e/kWh"
    if near:
        advice = f'did you mean "{by_code[by_name[near[0]]].name}"?'
    raise InputError(f'unknown region "{shorten(name)}"; {advice}')


def intensity_of(carbon: float | str | CarbonIntensity) -> CarbonIntensity:
    """An intensity from a number [gCO2e/kWh], or from a region as `find_region` takes it.

    Raises:
        InputError: A number below 0 or not finite, or an unknown region.
    """
    if isinstance(carbon, CarbonIntensity):
        return carbon
    try:
        number = float(carbon)
    except ValueError:
        return find_region(str(carbon))
    return CarbonIntensity(number)

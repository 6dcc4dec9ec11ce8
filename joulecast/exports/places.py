"""Where a carbon intensity is of, as report formats ask for it: a country, and a part of it."""

from dataclasses import dataclass

from joulecast.estimator.footprint.carbon import CarbonIntensity

_ZONES = {"SE": "SWE", "NO": "NOR"}
"""Beginning of a bidding zone's name -> its country."""


@dataclass(frozen=True)
class Place:
    """A country, and which part of it.

    Attributes:
        iso_code: ISO 3166-1 alpha-3.
        country: Its name.
        part: A US state, a Chinese province or a bidding zone; None for all of it.
    """

    iso_code: str
    country: str
    part: str | None


def place_of(carbon: CarbonIntensity | None) -> Place | None:
    """Where an intensity is of; None of a number that was given without a place."""
    import pycountry

    if carbon is None or carbon.region is None:
        return None
    code, name = carbon.region, str(carbon.name)
    if "-" in code:  # ISO 3166-2: a part of a country
        country, part = pycountry.countries.get(alpha_2=code[:2]), name.partition(",")[0]
    elif code[:2] in _ZONES and code[2:].isdigit():
        country, part = pycountry.countries.get(alpha_3=_ZONES[code[:2]]), name
    else:
        return Place(code, name, None)
    return None if country is None else Place(country.alpha_3, country.name, part)

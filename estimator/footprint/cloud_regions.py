"""Regions of clouds, and the electricity that each is taken to use.

`cloud_regions.csv` has a row per region of AWS, Azure and Google Cloud: where it lies, whose carbon
intensity is taken (of the US state, Chinese province or bidding zone, else of the country), and
from which list that was read.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

CLOUDS = {"aws": "AWS", "azure": "Azure", "gcp": "Google Cloud"}
"""Short name of a cloud -> its name."""


@dataclass(frozen=True)
class CloudRegion:
    """A region of a cloud.

    Attributes:
        provider: A key of `CLOUDS`.
        region: As the cloud calls it, such as "us-east-1".
        place: Where it lies, in the provider's words.
        carbon_region: Whose carbon intensity is taken: a key of `carbon.regions`.
        source: Which list names the region and its place.
    """

    provider: str
    region: str
    place: str
    carbon_region: str
    source: str

    @property
    def text(self) -> str:
        """The region with its cloud and place."""
        return f"{CLOUDS[self.provider]} {self.region}, {self.place}"

    def to_dict(self) -> dict[str, str]:
        """As plain JSON values."""
        return {
            "provider": self.provider,
            "region": self.region,
            "place": self.place,
            "source": self.source,
        }


@cache
def cloud_regions() -> dict[str, CloudRegion]:
    """Every region, by its name, which no two clouds share."""
    path = files("joulecast.estimator.footprint") / "cloud_regions.csv"
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return {row["region"]: CloudRegion(**row) for row in rows}


def find_cloud_region(name: str) -> CloudRegion | None:
    """A region by its name in any case, as "East US" too; None if there is none."""
    return cloud_regions().get("".join(name.split()).casefold())

"""What public traces there are, and which are here."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from joulecast.traces.files import exists
from joulecast.traces.public.catalog import CatalogEntry, catalog, is_embedded
from joulecast.traces.reconstruct import REQUESTS, published


def public_traces() -> list[dict[str, Any]]:
    """Those of the catalogue and then those that stand in for them, each with its catalogue entry.

    "here" says "ships", "fetched", or nothing for one that can be fetched.
    """
    return [
        *map(_of_catalogue, catalog().values()),
        *map(_reconstructed, published()["traces"]),
    ]


def _of_catalogue(entry: CatalogEntry) -> dict[str, Any]:
    is_cached = exists(entry.workload_file)
    here = "ships" if is_embedded(entry.name) else "fetched" if is_cached else ""
    return {**vars(entry), "here": here}


def _reconstructed(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """A stand-in that ships, in the columns of the others."""
    row = dict.fromkeys(field.name for field in fields(CatalogEntry))
    return row | {
        "name": f"{dataset['name']}-reconstructed",
        "title": f"{dataset['title']}, reconstructed from published figures",
        "rows": REQUESTS,
        "licence": dataset["licence"],
        "citation": dataset["citation"],
        "here": "ships",
    }

"""Options of `joulecast measure` that say how output tokens are chosen."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from joulecast.cli.options import Option, engine_variant
from joulecast.measurements.engines import (
    EngineError,
    EngineVariant,
    resolve_variant,
    start_of,
)
from joulecast.measurements.engines.decoding import GREEDY, Decoding, Speculation
from joulecast.measurements.engines.decoding_rules import require_same_vocabulary
from joulecast.measurements.models import load_shape

DECODING_OPTIONS: list[Option] = [
    click.option(
        "--decoding",
        "decodings",
        multiple=True,
        metavar="STRATEGY",
        help="How tokens are chosen: greedy (default), sampling, temperature:T, top-p:P, beam:W. "
        "Given several times, a table for each, in folders of its own, with one engine.",
    ),
    click.option(
        "--speculate",
        "speculations",
        multiple=True,
        metavar="DRAFT,K,ACCEPTANCE",
        help="Have a draft model propose K tokens a step, each accepted with this probability if "
        "those before it are: llama-3.2-1b,4,0.7. Several times likewise.",
    ),
]


def decoding_variants(
    engine: str, model: str, options: Mapping[str, Any]
) -> dict[str, EngineVariant]:
    """The variants to measure one after another with one engine, by a name that a folder can have.

    Raises:
        EngineError: The engine lacks one, a draft has other tokens than the model, or they take
            several engines.
        InputError: A strategy or a speculation that cannot be.
    """
    plain = engine_variant(engine, model, options)
    decodings = [Decoding.of(text) for text in options["decodings"]] or [GREEDY]
    speculations: list[Speculation | None] = [
        Speculation.of(text) for text in options["speculations"]
    ] or [None]
    variants: dict[str, EngineVariant] = {}
    for decoding in decodings:
        for speculation in speculations:
            if speculation is not None:
                require_same_vocabulary(load_shape(model), speculation)
            asked = replace(plain, decoding=decoding, speculation=speculation)
            name = decoding.text.replace(":", "-")
            if speculation is not None:
                name = f"acceptance-{speculation.acceptance:g}"
            if name in variants:
                raise EngineError(f"{name} is asked for twice; give each once")
            variants[name] = resolve_variant(engine, asked)
    _require_one_start(engine, variants)
    return variants


def folder_of(output: Path, name: str, variants: Mapping[str, EngineVariant]) -> Path:
    """Where the table of a variant goes: `output` itself if there is but one."""
    return output if len(variants) == 1 else output / name


def _require_one_start(engine: str, variants: Mapping[str, EngineVariant]) -> None:
    first = next(iter(variants))
    for name, variant in variants.items():
        if start_of(engine, variant) != start_of(engine, variants[first]):
            raise EngineError(
                f"{engine} takes an engine for {first} and another for {name}; measure them by "
                "two commands"
            )

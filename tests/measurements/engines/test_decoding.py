"""The words for decoding strategies and speculation, and what tables make of them."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import joulecast as jc
from joulecast.estimator.unit_prices.sources import is_usable
from joulecast.measurements.engines import EngineError, EngineVariant, resolve_variant, start_of
from joulecast.measurements.engines.decoding import (
    GREEDY,
    AcceptanceCount,
    Decoding,
    Speculation,
)
from joulecast.measurements.identity import is_of_variant, kind_differences
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

DRAFT = Speculation("llama-3.2-1b", 4, 0.7)
TABLE = "h100-sxm/llama-3.1-8b/vllm-quick"


@pytest.mark.parametrize(
    ("text", "decoding"),
    [
        ("greedy", GREEDY),
        ("sampling", Decoding(temperature=1.0)),
        ("temperature:0.8", Decoding(temperature=0.8)),
        ("top-p:0.9", Decoding(temperature=1.0, top_p=0.9)),
        ("beam:4", Decoding(beam_width=4)),
    ],
)
def test_a_strategy_is_told_by_its_name(text: str, decoding: Decoding) -> None:
    assert Decoding.of(text) == decoding
    assert decoding.text == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "beam", "beam:1", "beam:x", "beam:1000", "top-p:1", "top-p:0", "top-p:nan"),
        *("greedy:1", "temperature:0", "temperature:-1", "temperature:inf", "nucleus:0.9"),
    ],
)
def test_no_strategy(text: str) -> None:
    with pytest.raises(InputError, match="is no decoding strategy; give greedy, sampling, "):
        Decoding.of(text)


def test_speculation_is_told_by_three_words() -> None:
    assert Speculation.of("llama-3.2-1b,4,0.7") == DRAFT
    assert DRAFT.text == "llama-3.2-1b,4,0.7"
    for text in ("", "llama-3.2-1b", "x,4", "x,0,0.5", ",4,0.5", "x,4.5,0.5", "x,4,0.5,1"):
        with pytest.raises(InputError, match="is not DRAFT,K,ACCEPTANCE"):
            Speculation.of(text)
    for text in ("x,4,1.1", "x,4,-0.1", "x,4,nan"):
        with pytest.raises(InputError, match="an acceptance is a probability"):
            Speculation.of(text)


def test_tokens_of_a_verified_step() -> None:
    """(1 - a^(K+1)) / (1 - a), and its limits: the own token alone, and all K with it."""
    assert DRAFT.tokens_per_step == pytest.approx((1 - 0.7**5) / (1 - 0.7))
    assert DRAFT.with_acceptance(0).tokens_per_step == 1
    assert DRAFT.with_acceptance(1).tokens_per_step == 5


def test_acceptance_is_counted_up_to_the_first_refusal() -> None:
    count = AcceptanceCount()
    assert count.acceptance is None
    for accepted in (4, 0, 2):
        count.add(4, accepted)
    assert (count.verified, count.proposed, count.accepted, count.cut_short) == (3, 12, 6, 2)
    assert count.acceptance == 6 / 8  # eight tokens were looked at: 4, 1 and 3


@pytest.mark.parametrize("engine", ["vllm", "pytorch"])
def test_what_goes_together(engine: str) -> None:
    with pytest.raises(EngineError, match="with greedy decoding, not with beam:4"):
        resolve_variant(engine, EngineVariant(decoding=Decoding.of("beam:4"), speculation=DRAFT))
    drawn = EngineVariant(decoding=Decoding.of("top-p:0.9"))
    assert start_of(engine, drawn) == start_of(engine, EngineVariant())
    accepting = [EngineVariant(speculation=DRAFT.with_acceptance(a)) for a in (0.1, 0.9)]
    assert start_of(engine, accepting[0]) == start_of(engine, accepting[1])
    assert start_of(engine, accepting[0]) != start_of(engine, EngineVariant())
    beams = start_of(engine, EngineVariant(decoding=Decoding.of("beam:4")))
    assert (beams == start_of(engine, EngineVariant())) == (engine == "pytorch")


def test_pytorch_compiles_neither() -> None:
    for variant in (
        EngineVariant(decoding=Decoding.of("beam:4")),
        EngineVariant(speculation=DRAFT),
    ):
        with pytest.raises(EngineError, match="leave --compile out"):
            resolve_variant("pytorch", EngineVariant(**vars(variant) | {"compiled": True}))


def table_of(folder: Path, strategy: str, speculation: str | None, variant: Any = None) -> Path:
    """A shipped table as if it had been measured otherwise."""
    shutil.copytree(table_folder(TABLE), folder)
    document = json.loads((folder / "table.json").read_text())
    document["engine_settings"] |= {"decoding_strategy": strategy, "speculation": speculation}
    document |= {} if variant is None else {"variant": variant}
    (folder / "table.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("strategy", "speculation", "words"),
    [("beam:4", None, "--decoding beam:4"), ("greedy", DRAFT.text, f"--speculate {DRAFT.text}")],
)
def test_a_table_of_another_decoding_prices_nothing(
    strategy: str, speculation: str | None, words: str, run_cli: RunCli, tmp_path: Path
) -> None:
    folder = table_of(tmp_path / "t", strategy, speculation)
    table, plain = load_table(folder), load_table(TABLE)
    assert is_usable(plain, "h100-sxm", "vllm")
    assert not is_usable(table, "h100-sxm", "vllm")
    assert kind_differences(plain.metadata, table.metadata)
    asked = EngineVariant(
        compiled=True,
        decoding=Decoding.of(strategy),
        speculation=None if speculation is None else Speculation.of(speculation),
    )
    assert is_of_variant(table.metadata, asked)
    assert not is_of_variant(plain.metadata, asked)
    for method in ("stepwise", "binned"):
        with pytest.raises(InputError, match=f"was measured with {words}; forecasts rest on"):
            jc.estimate("azure-2023-code", table, method)
    checked = run_cli("table", "check", folder, "--format", "json")
    assert f"was measured with {words}" in checked.stdout


def test_a_variant_says_what_the_engine_says(tmp_path: Path) -> None:
    variant = asdict(EngineVariant(compiled=True, decoding=Decoding.of("beam:4")))
    load_table(table_of(tmp_path / "same", "beam:4", None, variant))
    other = table_of(tmp_path / "other", "greedy", None, variant)
    with pytest.raises(
        InputError, match="asks for decoding_strategy beam:4, and what was measured"
    ):
        load_table(other)
    before = {key: variant[key] for key in variant if key not in ("decoding", "speculation")}
    load_table(table_of(tmp_path / "before", "greedy", None, before))
    spoilt = variant | {"decoding": {"temperature": 0.0, "top_p": 2, "beam_width": 4}}
    with pytest.raises(InputError, match=r'"variant\.decoding\.top_p" is 2, not from 0 to 1'):
        load_table(table_of(tmp_path / "spoilt", "beam:4", None, spoilt))

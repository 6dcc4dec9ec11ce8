"""What makes two measurements one kind, and which conditions are told."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from joulecast.estimator.validate import shipped_tables_for
from joulecast.measurements.identity import (
    condition_differences,
    differences,
    kind_differences,
    kind_of,
)
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.traces.errors import InputError

SETTINGS = {
    "torch": "2.11.0+cu130",
    "gpu_memory_utilization": 0.92,
    "kv_cache_tokens": 451_872,
    "kv_block_tokens": 16,
    "max_num_seqs": 1024,
    "max_num_batched_tokens": 16_384,
    "chunked_prefill": True,
    "async_scheduling": True,
    "max_model_len": 8704,
    "eager": False,
    "max_cudagraph_capture_size": 512,
    "prefix_caching": False,
    "tensor_parallel_size": 1,
    "quantization": None,
}
VARIANT = {
    "gpus": 1,
    "compiled": True,
    "quantization": None,
    "max_num_seqs": 1024,
    "max_num_batched_tokens": None,
}
FACTS = {
    "gpu": "h100-sxm",
    "gpu_count": 1,
    "power_limit_w": 700.0,
    "model": "llama-3.1-8b",
    "engine": "vllm",
    "engine_version": "0.22.0",
    "engine_settings": SETTINGS,
    "dtype": "bfloat16",
    "weights": "drawn from N(0, 0.02), norms 1",
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The facts, or their settings, with another value under a key."""
    if key in FACTS:
        return FACTS | {key: value}
    return FACTS | {"engine_settings": SETTINGS | {key: value}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gpu", "h200-sxm"),
        ("gpu_count", 2),
        ("model", "llama-3.2-1b"),
        ("engine", "pytorch"),
        ("dtype", "float16"),
        ("quantization", "fp8"),
        ("quantization", 0),
        ("quantization", False),
        ("eager", True),
        ("eager", 0),
        ("eager", "false"),
        ("compiled", True),
        ("tensor_parallel_size", 2),
        ("tensor_parallel_size", True),
    ],
)
def test_another_kind(key: str, value: Any) -> None:
    """However it is written: a truth is no number."""
    for facts, others in ((FACTS, changed(key, value)), (changed(key, value), FACTS)):
        assert key in {other.setting for other in kind_differences(facts, others)}
        assert kind_differences(facts, others) == differences(facts, others)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("engine_version", "0.22.1"),
        ("engine_version", "0.22"),
        ("power_limit_w", 500),
        ("weights", "given: llama"),
        ("weights", "of clay"),
        ("max_num_seqs", 16),
        ("max_num_seqs", True),
        ("max_num_batched_tokens", 8192),
        ("chunked_prefill", False),
        ("prefix_caching", 0),
        ("kv_block_tokens", 32),
        ("kv_cache_tokens", 400_000),
        ("kv_cache_tokens", "many"),
        ("kv_cache_tokens", -451_872),
        ("async_scheduling", "true"),
        ("max_cudagraph_capture_size", 0),
    ],
)
def test_other_conditions(key: str, value: Any) -> None:
    for facts, others in ((FACTS, changed(key, value)), (changed(key, value), FACTS)):
        assert kind_differences(facts, others) == []
        assert [other.setting for other in condition_differences(facts, others)] == [key]
        assert differences(facts, others) == condition_differences(facts, others)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("power_limit_w", 700),
        ("power_limit_w", None),
        ("weights", "random; which distribution was not recorded"),
        ("torch", "2.12.0"),
        ("max_model_len", 131_072),
        ("gpu_memory_utilization", 0.9),
        ("kv_cache_tokens", 445_000),
        ("kv_cache_tokens", None),
        ("async_scheduling", None),
        ("eager", None),
        ("quantization", None),
        ("allocator", "none"),
        ("engine_version_of_yesterday", "0.1"),
    ],
)
def test_what_counts_for_nothing_or_is_not_known(key: str, value: Any) -> None:
    assert differences(FACTS, changed(key, value)) == []
    assert differences(changed(key, value), FACTS) == []


def test_what_an_engine_will_say_of_itself_counts_too() -> None:
    assert [
        (other.setting, other.ours, other.theirs)
        for other in differences(
            changed("kv_cache_dtype", "auto"), changed("kv_cache_dtype", "fp8")
        )
    ] == [("kv_cache_dtype", "auto", "fp8")]


@pytest.mark.parametrize("key", ["gpu", "model", "engine_version", "power_limit_w", "weights"])
def test_settings_named_as_facts_hide_none(key: str) -> None:
    """A setting may be called anything."""
    odd = {"engine_settings": SETTINGS | {key: FACTS[key]}}
    other = FACTS | odd | {key: 5}
    assert key in {difference.setting for difference in differences(FACTS | odd, other)}


def test_words_for_it() -> None:
    others = differences(FACTS, changed("power_limit_w", 500.0) | {"engine_version": "9.9.9"})
    assert [other.text("in the table", "in the replay") for other in others] == [
        "engine_version is 9.9.9 in the replay, 0.22.0 in the table",
        "power_limit_w is 500 in the replay, 700 in the table",
    ]
    (other,) = differences(FACTS, changed("quantization", "fp8"))
    assert other.text("here", "there") == "quantization is fp8 there, none here"


def variant_in(words: str) -> str | None:
    """The variant that a name tells of."""
    return next(
        (word for word in ("compiled", "eager", "fp8", "tp2", "tp4") if word in words), None
    )


def test_shipped_replays_are_of_their_tables_conditions() -> None:
    """And of a kind: older files say nothing of several GPUs or 8 bits."""
    for path in SHIPPED.glob("**/*.json"):
        replay = Replay.load(path)
        tables = shipped_tables_for(replay)
        variant = variant_in(path.parent.name)
        assert kind_of(replay.facts)["quantization"] == ("fp8" if variant == "fp8" else None)
        if tables[0].name.endswith(f"/{replay.facts['engine']}") and variant is None:
            assert differences(tables[0].metadata, replay.facts) == []
        assert any(differences(table.metadata, replay.facts) == [] for table in tables)
        for table in tables:
            is_alike = variant_in(table.name) == variant
            assert is_alike == (kind_differences(table.metadata, replay.facts) == []), table.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_block_tokens": 0}, '"engine_settings.kv_block_tokens" is 0, not a believable whole'),
        ({"kv_block_tokens": -16}, '"engine_settings.kv_block_tokens" is -16, not a believable'),
        ({"kv_cache_tokens": 0}, '"engine_settings.kv_cache_tokens" is 0, not a believable'),
        ({"max_num_seqs": "many"}, '"engine_settings.max_num_seqs" is "many", not a believable'),
        ({"chunked_prefill": 1}, '"engine_settings.chunked_prefill" is 1, not true or false'),
        ({"gpu_memory_utilization": 92}, "not a share above 0 and up to 1"),
        ({"quantization": 8}, '"engine_settings.quantization" is 8, not a text'),
        ({"a later one's": [1]}, "not a text, a number, true, false or null"),
        ({"variant": "fp8"}, '"variant" is "fp8", not an object'),
        ({"variant": VARIANT | {"gpus": 2}}, '"variant.gpus" is 2, and what was measured is 1'),
        (
            {"variant": VARIANT | {"quantization": "fp8"}},
            '"variant.quantization" is fp8, and what was measured is none',
        ),
        ({"variant": VARIANT | {"more": 1}}, '"variant" has "more", which it must not'),
    ],
)
def test_settings_that_cannot_be_are_believed_of_no_replay_and_no_table(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    shutil.copytree(table_folder("h100-sxm/llama-3.1-8b/vllm-quick-fourth"), tmp_path / "t")
    replay = tmp_path / "r.json"
    shutil.copy(SHIPPED / "vllm" / "short-replies.json", replay)
    for path, load in ((replay, Replay.load), (tmp_path / "t/table.json", None)):
        document = json.loads(path.read_text())
        settings = {key: value for key, value in changes.items() if key != "variant"}
        document["engine_settings"] |= settings
        document |= {key: value for key, value in changes.items() if key == "variant"}
        path.write_text(json.dumps(document))
        with pytest.raises(InputError, match=re.escape(message)):
            load_table(tmp_path / "t") if load is None else load(path)

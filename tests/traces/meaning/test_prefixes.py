"""What a cache of prefixes has of prompts whose blocks a trace names."""

import json
from pathlib import Path

import numpy as np
import pytest

from joulecast.traces.binning.prefixes import cached_prefixes
from joulecast.traces.errors import InputError
from joulecast.traces.load import load_trace

PROMPTS = [[1, 2, 3], [1, 2, 4], [1, 2, 3], [9], [1, 2, 3]]


def cached(prompts: list[list[int]], blocks: int) -> list[int]:
    texts, inputs = map(json.dumps, prompts), [512.0 * len(prompt) - 1 for prompt in prompts]
    return cached_prefixes(texts, inputs, 512, 512 * blocks).tolist()


def test_a_prompt_has_what_its_first_blocks_have() -> None:
    assert cached(PROMPTS, 100) == [0, 1024, 1535, 0, 1535]
    assert cached([[1, 2], [2, 1]], 100) == [0, 1023]  # names stand for all before them
    assert cached([[1, 2], [3, 2]], 100) == [0, 0]


def test_the_block_unread_for_longest_makes_room() -> None:
    assert cached(PROMPTS, 3) == [0, 1024, 1024, 0, 1024]
    assert cached(PROMPTS, 1) == [0, 512, 512, 0, 0]


@pytest.mark.parametrize("blocks", [1, 2, 3, 5, 50])
def test_larger_caches_never_have_less_of_all(blocks: int) -> None:
    generator = np.random.default_rng(1)
    prompts = [sorted(generator.choice(12, 4, replace=False).tolist()) for _ in range(200)]
    assert sum(cached(prompts, blocks)) <= sum(cached(prompts, 2 * blocks))


def test_traces_that_name_blocks_are_held_against_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "mooncake.jsonl"
    rows = [
        {"timestamp": k, "input_length": 1500, "output_length": 10, "hash_ids": prompt}
        for k, prompt in enumerate(PROMPTS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_trace(path, most_lengths=10, prefix_cache=10**6)
    assert loaded.cached is not None
    assert loaded.cached.tolist() == [0, 1024, 1500, 0, 1500]
    assert loaded.workload.cached is not None
    assert sum(loaded.workload.cached.values()) == 4024
    assert load_trace(path, most_lengths=10).cached is None
    path.write_text('{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": "x"}\n')
    with pytest.raises(InputError, match="row 1: hash_ids is 'x', not an array of blocks"):
        load_trace(path, prefix_cache=10**6)
    (tmp_path / "a.csv").write_text("input_tokens,output_tokens\n1,1\n")
    with pytest.raises(InputError, match="names no blocks of prompts"):
        load_trace(tmp_path / "a.csv", prefix_cache=10)

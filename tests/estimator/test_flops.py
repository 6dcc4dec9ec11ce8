import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecast.estimator.flops import (
    FlopsModel,
    binned_flops,
    how_counted,
    load_flops,
    stored_models,
)
from joulecast.measurements.models import model_names
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from tests.conftest import RunCli, workload_of

GOLDEN = {  # DeepSpeed 0.19.8, computed before this project had code
    "llama-3.1-8b": (13959102464, 524288, 1050673152),
    "olmoe-1b-7b": (2151810048, 131072, 206045184),
    "qwen1.5-32b": (61909680128, 1310720, 1557135360),
}


@pytest.mark.parametrize("model", GOLDEN)
def test_golden_coefficients(model: str) -> None:
    law = load_flops(model)
    assert (law.per_token, law.per_pair, law.per_pass) == GOLDEN[model]


@pytest.mark.parametrize(
    ("lengths", "flops"),
    [((32, 8), 553479372800), ((512, 64), 8249134350336), ((8192, 512), 159471699034112)],
)
def test_golden_requests(lengths: tuple[int, int], flops: int, run_cli: RunCli) -> None:
    i, o = lengths
    result = run_cli("flops", "llama-3.1-8b", "--input", i, "--output", o, "--format", "json")
    document = json.loads(result.stdout)
    assert document["flops"] == flops
    assert (document["input_tokens"], document["output_tokens"]) == lengths
    assert "causal masking not subtracted" in document["convention"]


def test_of_every_shipped_model_something_is_known() -> None:
    assert {*stored_models()} < {*model_names()}
    for model in model_names():
        law = load_flops(model)
        assert law.per_token > 0
        assert law.per_pair > 0
        assert how_counted(model)


@given(st.integers(1, 300), st.integers(1, 80))
def test_a_request_is_a_prefill_and_decode_steps(i: int, o: int) -> None:
    law = FlopsModel("any", 7, 3, 11)
    steps = law.forward(i, 0) + sum(law.forward(1, i + step) for step in range(o - 1))
    assert law.request(i, o) == steps


def test_the_sum_over_a_workload_is_a_loop_over_requests() -> None:
    law = load_flops("llama-3.1-8b")
    requests = [(5, 5), (300, 40), (9000, 5), (8192, 512)]
    binned = [(32, 8), (512, 64), (8192, 512)]
    assert binned_flops(workload_of(PAPER_GRID, requests), law) == sum(
        law.request(i, o) for i, o in binned
    )


def test_the_whole_grid(run_cli: RunCli) -> None:
    document = json.loads(run_cli("flops", "olmo-7b", "--format", "json").stdout)
    cells = {
        (cell["input_tokens"], cell["output_tokens"]): cell["flops"] for cell in document["cells"]
    }
    assert cells == load_flops("olmo-7b").grid(POWER_OF_TWO_GRID)
    assert len(cells) == 70

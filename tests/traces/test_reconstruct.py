"""Lengths made up to have published figures."""

import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reconstruction import errors
from joulecast.traces.errors import InputError
from joulecast.traces.public.catalog import embedded_names, load_embedded
from joulecast.traces.public.paper_datasets import candidates
from joulecast.traces.reconstruct import FIGURES, maximum_entropy, published, reconstruct_dataset
from tests.conftest import RunCli


def figures_of(lengths: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(lengths.mean()),
        "sd": float(lengths.std(ddof=1)),
        "median": float(np.median(lengths)),
        "percentile_99": float(np.percentile(lengths, 99)),
    }


@pytest.mark.parametrize("dataset", published()["traces"], ids=lambda dataset: dataset["name"])
@pytest.mark.parametrize("side", ["input", "output"])
def test_the_published_figures_are_met(dataset: dict, side: str) -> None:
    """The residuals that docs/reconstruction.md states, of the distribution itself."""
    figures = dataset[side]
    p = maximum_entropy(figures)
    lengths = np.arange(1, len(p) + 1)
    mean = float(p @ lengths)
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1)
    assert mean == pytest.approx(figures["mean"], rel=1e-5)
    assert np.sqrt(p @ lengths**2 - mean**2) == pytest.approx(figures["sd"], rel=1e-5)
    assert p[: figures["median"]].sum() == pytest.approx(0.5, abs=1e-6)
    assert p[: figures["percentile_99"]].sum() == pytest.approx(0.99, abs=1e-6)


def test_what_ships_is_what_is_made() -> None:
    for dataset in published()["traces"]:
        shipped = load_embedded(f"{dataset['name']}-reconstructed")
        made = reconstruct_dataset(dataset)
        assert shipped.is_reconstructed
        assert shipped.sources == made.sources
        assert shipped.total.requests == made.total.requests == 100_000
        assert shipped.total.input_tokens == pytest.approx(made.total.input_tokens, rel=1e-6)
        assert np.allclose(shipped.requests, made.requests, atol=5)
        assert len(candidates(dataset["name"])) >= 1
    assert not load_embedded("azure-2023-conv").is_reconstructed
    assert len(embedded_names()) == 5


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(2, 6), st.floats(0.4, 1.3))
def test_figures_of_real_lengths_are_met(seed: int, mu: float, sigma: float) -> None:
    """Log-normal lengths, which are no maximum entropy distribution, give figures that some has."""
    drawn = np.random.default_rng(seed).lognormal(mu, sigma, 20_000)
    figures = figures_of(np.maximum(1, np.rint(np.minimum(drawn, np.exp(mu + 3 * sigma)))))
    p = maximum_entropy(figures)
    lengths = np.arange(1, len(p) + 1)
    assert float(p @ lengths) == pytest.approx(figures["mean"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "figures",
    [
        (100, 10, 5, 200),  # half of it is 5 or less
        (100, -1, 90, 200),
        (100, 10, 300, 200),
        (0, 10, 1, 200),
        (100, 5000, 90, 200),
    ],
)
def test_figures_that_no_lengths_have_are_refused(figures: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="have the figures"):
        maximum_entropy(dict(zip(FIGURES, figures, strict=True)))


def test_where_the_truth_is_known(azure_folder) -> None:
    """The errors of docs/reconstruction.md, which the intervals carry."""
    vllm, pytorch = (f"h100-sxm/llama-3.1-8b/{engine}" for engine in ("vllm", "pytorch"))
    differences = {
        "code": {
            (vllm, "binned"): -0.011, (vllm, "stepwise"): -0.003,
            (pytorch, "binned"): -0.008, (pytorch, "stepwise"): 0.053,
        },
        "conv": {
            (vllm, "binned"): -0.036, (vllm, "stepwise"): 0.024,
            (pytorch, "binned"): -0.030, (pytorch, "stepwise"): 0.164,
        },
    }  # fmt: skip
    for name, expected in differences.items():
        reached = errors(azure_folder / f"azure-2023-{name}.csv")
        assert reached == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_reconstructed_is_said_everywhere(run_cli: RunCli) -> None:
    words = "burstgpt-reconstructed", "--table", "h100-sxm/llama-3.1-8b/vllm"
    for method in ("binned", "stepwise"):
        shown = run_cli("estimate", *words, "--method", method).stdout
        assert "burstgpt-reconstructed (reconstructed)" in shown
        assert "Reconstructed: the lengths were made up" in shown
        document = json.loads(
            run_cli("estimate", *words, "--method", method, "--format", "json").stdout
        )
        assert document["source"] == "reconstructed"
    assert document["relative_sds"]["reconstruction"] == 0.02
    assert "(reconstructed)" in run_cli("compare", *words).stdout
    summary = json.loads(run_cli("trace", "summary", words[0], "--format", "json").stdout)
    assert summary["source"] == "reconstructed"
    assert (files("joulecast.traces") / "workloads/burstgpt-reconstructed.json").is_file()

"""What is said of values in pieces is what NumPy says of them in one array, to the last digit."""

from collections.abc import Iterator

import numpy as np
import pytest

from joulecast.estimator.over_time import pieces as by_pieces
from joulecast.estimator.over_time.pieces import percentiles_of, total_of
from joulecast.estimator.over_time.serving import Quantiles, latencies_of
from joulecast.measurements.arrays import FloatArray

PERCENTS = [0, 12.5, 50, 90, 99, 100]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_pieces, "_FEW", 256)  # NumPy itself halves down to 128


@pytest.mark.parametrize("count", [1, 255, 256, 257, 263, 264, 1000, 4099, 20_001])
@pytest.mark.parametrize("size", [1000, 333])
@pytest.mark.parametrize("law", ["spread", "equal", "ties", "zeros"])
def test_sums_and_percentiles(count: int, size: int, law: str) -> None:
    generator = np.random.default_rng(count)
    values = {
        "spread": generator.lognormal(-3, 2, count),
        "equal": np.full(count, 0.1),
        "ties": np.round(generator.exponential(1, count), 1),
        "zeros": np.maximum(0.0, generator.normal(0, 1, count)),
    }[law]

    def pieces() -> Iterator[FloatArray]:
        return (values[begin : begin + size] for begin in range(0, count, size))

    assert total_of(pieces, count) == values.sum()
    assert percentiles_of(pieces, count, PERCENTS) == np.percentile(values, PERCENTS).tolist()


def test_latencies_are_those_of_all_requests_at_once() -> None:
    generator, count = np.random.default_rng(2), 600_000  # in three pieces
    arrival_s = np.cumsum(generator.exponential(1, count))
    first_s = arrival_s + generator.exponential(0.3, count)
    last_s = first_s + generator.exponential(2, count)
    outputs = generator.integers(1, 40, count).astype(np.int32)
    is_long = outputs > 1
    whole = {
        "ttft": first_s - arrival_s,
        "tpot": (last_s - first_s)[is_long] / (outputs[is_long] - 1),
        "e2e": last_s - arrival_s,
    }
    assert latencies_of(arrival_s, first_s, last_s, outputs) == {
        name: Quantiles(*np.percentile(values, [50, 90, 99]).tolist(), values.mean())
        for name, values in whole.items()
    }

"""What recorded graphs compute for nothing."""

from dataclasses import replace

import numpy as np
import pytest

from joulecast.estimator.steps.continuous_batching import ContinuousBatching, graph_padding
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.work import TERMS
from joulecast.estimator.table_law import TableLaw
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import load_table

VLLM = "h200-sxm/llama-3.1-8b/vllm"
TOKENS = TERMS.index("tokens")


@pytest.fixture(scope="module")
def rules() -> ContinuousBatching:
    return ContinuousBatching.from_settings(load_table(VLLM).metadata["engine_settings"], VLLM)


@pytest.fixture(scope="module")
def law() -> TableLaw:
    return TableLaw.of(load_table(VLLM))


def test_steps_take_the_next_larger_graph() -> None:
    tokens = np.array([0, 1, 2, 3, 4, 5, 8, 9, 17, 250, 256, 257, 272, 511, 512, 513, 9000])
    padding = [0, 0, 0, 1, 0, 3, 0, 7, 7, 6, 0, 15, 0, 1, 0, 0, 0]
    assert graph_padding(tokens.astype(float), 512).tolist() == padding
    sizes = np.arange(1.0, 513)
    assert (graph_padding(sizes, 512) == 0).sum() == 51  # as many as vLLM says that it records
    assert not graph_padding(sizes, 0).any()  # eager


def test_seventeen_requests_cost_what_twenty_four_tokens_do(
    rules: ContinuousBatching, law: TableLaw
) -> None:
    """One step feeds their prompts, the others seventeen tokens of a graph of twenty-four."""
    steps = rules.schedule(np.array([[40, 9]] * 17))
    assert steps.decoding.tolist() == [0.0] + [17.0] * 8
    service = Service(steps.counts, law.gauge(steps))
    bare = replace(service, gauged=np.concatenate([[0.0], service.gauged[1:]]))
    padded, plain = law.spending(service), law.spending(bare)
    token_j = law.prices.energy_j[TOKENS]
    assert token_j > 0.01
    assert padded.energy_j - plain.energy_j == pytest.approx(8 * 7 * token_j, rel=1e-9)
    assert sum(padded.parts_j.values()) == pytest.approx(padded.energy_j, rel=1e-12)
    assert padded.least_parts_j == plain.least_parts_j  # the roofline is of what was asked


def test_a_mixtures_steps_read_the_experts_of_their_padding(rules: ContinuousBatching) -> None:
    shape = load_shape("olmoe-1b-7b")
    mixture = replace(rules, mixture=shape)
    five, eager = (
        each.schedule(np.array([[40, 9]] * 5)).share_read
        for each in (mixture, replace(mixture, graph_tokens=0))
    )
    assert five is not None
    assert eager is not None
    assert five[1:] == pytest.approx(float(shape.share_read(8.0)))
    assert eager[1:] == pytest.approx(float(shape.share_read(5.0)))
    assert five[1] > 1.2 * eager[1]


def test_eager_steps_have_none(rules: ContinuousBatching, law: TableLaw) -> None:
    steps = replace(rules, graph_tokens=0).schedule(np.array([[40, 9]] * 17))
    assert law.gauge(steps)[0] == 0


def test_who_is_charged_adds_up(rules: ContinuousBatching, law: TableLaw) -> None:
    """What steps take for each phase holds their padding, but for what reading hides."""
    law = replace(law, clock=None)
    steps = rules.schedule(np.array([[40, 9]] * 17))
    without = replace(steps, padding=None)
    more_j = law.divided_j(steps) - law.divided_j(without)
    assert more_j.sum() == pytest.approx(8 * 7 * law.prices.energy_j[TOKENS], rel=1e-9)
    assert more_j[2] == pytest.approx(more_j.sum())  # those that decode need it

"""Which runs a plan makes, and in which order."""

from dataclasses import replace

import pytest

from joulecast.measurements.sweep.plans import (
    QUICK_FIRST,
    QUICK_LEAST,
    QUICK_RUNS,
    in_order,
    make_plan,
    small_batches,
    spread_cells,
)
from joulecast.traces.grid import PAPER_GRID
from tests.measurements.fakes import COST, capacity, plan_of


def test_paper_plan_is_every_cell_at_capacity() -> None:
    plan = plan_of("paper", runs=3)
    assert len(plan) == 56 * 3
    assert {(spec.input_tokens, spec.output_tokens) for spec in plan} == set(PAPER_GRID.cells())
    assert all(spec.batch_size == capacity(*spec.key[:2]) and spec.at_capacity for spec in plan)
    assert len({spec.key for spec in plan}) == len(plan)


def test_full_plan_adds_smaller_batches_over_everything() -> None:
    small = small_batches(PAPER_GRID, capacity)
    assert len(plan_of("full")) == 56 + len(small)
    assert 18 <= len(small) <= 22
    assert len({spec.batch_size for spec in small}) >= 9
    assert min(spec.batch_size for spec in small) == 1
    assert len({spec.input_tokens for spec in small}) >= 6
    assert len({spec.output_tokens for spec in small}) == 7
    assert all(spec.batch_size <= capacity(*spec.key[:2]) // 2 for spec in small)


def test_spread_plan_is_twelve_cells_at_capacity() -> None:
    asked = []

    def counted(i: int, o: int) -> int:
        asked.append((i, o))
        return capacity(i, o)

    plan = make_plan("spread", PAPER_GRID, counted, COST, 3)
    assert len(plan) == 36
    assert {spec.cell for spec in plan} == set(spread_cells(PAPER_GRID)) == set(asked)
    assert all(spec.at_capacity for spec in plan)


def test_quick_plan_fits_into_a_minute_and_a_half() -> None:
    plan = plan_of("quick")
    assert len(plan) <= QUICK_RUNS
    assert sum(COST.window_seconds(spec) for spec in plan) <= 90
    assert len({spec.batch_size for spec in plan}) >= 3


@pytest.mark.parametrize("times_slower", [4, 40])
def test_quick_plan_is_enough_for_the_step_model_where_batches_take_long(times_slower: int) -> None:
    """Two H200s got six runs by time alone, and the step model needs seven."""
    slow = replace(COST, seconds_law=times_slower * COST.seconds_law)
    plan = make_plan("quick", PAPER_GRID, capacity, slow, 1)
    assert QUICK_LEAST <= len(plan) <= QUICK_RUNS
    assert plan[0].cell == QUICK_FIRST
    assert len({spec.batch for spec in plan}) == len(plan)
    shortest = sorted(map(slow.window_seconds, make_plan("full", PAPER_GRID, capacity, slow, 1)))
    assert sum(map(slow.window_seconds, plan[1:])) < 78 + sum(shortest[: len(plan)])


def test_first_come_the_informative_runs_then_all_cells_then_repeats() -> None:
    plan = in_order(plan_of("full", runs=3), seed=1, by_priority=True)
    assert [spec.priority for spec in plan] == sorted(spec.priority for spec in plan)
    spread = set(spread_cells(PAPER_GRID))
    assert len(spread) == 12
    once = [spec for spec in plan if spec.run == 1]
    assert plan[: len(once)] == once
    repeats = plan[len(once) : len(once) + 24]
    assert {(spec.input_tokens, spec.output_tokens) for spec in repeats} == spread


def test_orders_are_shuffled_and_repeatable() -> None:
    plan = plan_of("full")
    assert in_order(plan, 7, by_priority=False) == in_order(plan, 7, by_priority=False)
    assert in_order(plan, 7, by_priority=False) != in_order(plan, 8, by_priority=False)
    assert set(in_order(plan, 7, by_priority=False)) == set(plan)


def test_no_run_is_planned_twice_where_one_request_fills_the_card() -> None:
    plan = make_plan("full", PAPER_GRID, lambda i, o: 1 if i > 512 else 300, COST, 2)
    assert len({spec.key for spec in plan}) == len(plan)

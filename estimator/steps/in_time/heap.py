"""The steps in which running requests end, the next one first: a binary heap."""

from joulecast.estimator.steps.in_time.state import (
    HEAP,
    State,
)


def add_to_heap(state: State, step: int, request: int) -> None:
    """Put in that a request ends in a step."""
    state.counts[HEAP] += 1
    _rise(state, state.counts[HEAP] - 1, step, request)


def remove_from_heap(state: State, place: int) -> None:
    """Take an entry out; the last takes its place, and moves where it belongs."""
    steps, requests, counts = state.heap_step, state.heap_request, state.counts
    counts[HEAP] -= 1
    size = counts[HEAP]
    if place == size:
        return
    step, request = steps[size], requests[size]
    below = 2 * place + 1
    while below < size:  # the earlier of the two below moves up
        if below + 1 < size and steps[below + 1] < steps[below]:
            below += 1
        if step <= steps[below]:
            break
        steps[place], requests[place] = steps[below], requests[below]
        place = below
        below = 2 * place + 1
    _rise(state, place, step, request)


def _rise(state: State, place: int, step: int, request: int) -> None:
    """Put an entry at a place that is free, or above it where those end later."""
    steps, requests = state.heap_step, state.heap_request
    while place > 0:
        above = (place - 1) // 2
        if steps[above] <= step:
            break
        steps[place], requests[place] = steps[above], requests[above]
        place = above
    steps[place], requests[place] = step, request

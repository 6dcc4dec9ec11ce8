"""The steps in which running requests end, the next one first: a binary heap."""

from joulecast.estimator.steps.in_time.state import (
    HEAP,
    State,
)


def add_to_heap(state: State, step: int, request: int) -> None:
    """Put in that a request ends in a step."""
    counts, place = state.counts, state.counts[HEAP]
    counts[HEAP] += 1
    state.heap_step[place], state.heap_request[place] = step, request
    _sift(state, place)


def remove_from_heap(state: State, place: int) -> None:
    """Take an entry out; the last takes its place, and moves where it belongs."""
    counts = state.counts
    counts[HEAP] -= 1
    end = counts[HEAP]
    state.heap_step[place], state.heap_request[place] = (
        state.heap_step[end],
        state.heap_request[end],
    )
    if place < end:
        _sift(state, place)


def _sift(state: State, place: int) -> None:
    """Move an entry up while its step is before the one above, then down."""
    step = state.heap_step
    while place > 0 and step[place] < step[(place - 1) // 2]:
        _swap(state, place, (place - 1) // 2)
        place = (place - 1) // 2
    size = state.counts[HEAP]
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and step[below + 1] < step[below]:
            below += 1
        if step[place] <= step[below]:
            break
        _swap(state, place, below)
        place = below


def _swap(state: State, a: int, b: int) -> None:
    steps, requests = state.heap_step, state.heap_request
    steps[a], steps[b] = steps[b], steps[a]
    requests[a], requests[b] = requests[b], requests[a]

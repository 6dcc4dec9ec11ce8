"""Shapes that plain PyTorch had not seen: a plan of the attention is made for each of them.

A step's shapes are the requests of its batch and the length of their cache. The first batch of a
run meets new ones; it is the only one that does. Which runs went before, their order says.
"""

from collections.abc import Iterator, Sequence

from joulecast.measurements.table.runs import Run


def new_shapes(runs: Sequence[Run]) -> Iterator[tuple[Run, int]]:
    """A table's runs in order, invalid ones too, each with how many new shapes it met."""
    seen: dict[str | None, set[tuple[int, int]]] = {}
    for run in sorted(runs, key=lambda run: run.started_at or ""):
        input_tokens, output_tokens, batch_size = run.batch
        lengths = range(input_tokens, input_tokens + output_tokens)
        shapes = {(batch_size, length) for length in lengths}
        of_card = seen.setdefault(run.gpu, set())
        yield run, len(shapes - of_card)
        of_card |= shapes

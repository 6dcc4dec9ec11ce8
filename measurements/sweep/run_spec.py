"""One run that is to be made."""

from dataclasses import dataclass

from joulecast.measurements.table.runs import BatchRun


@dataclass(frozen=True)
class RunSpec(BatchRun):
    """One run to make.

    Attributes:
        input_tokens: I [tokens].
        output_tokens: O [tokens].
        batch_size: Requests in a batch.
        at_capacity: Whether that is B(I, O).
        run: Which of the wanted valid runs of this batch, from 1.
        priority: Runs of a lower number come first when time is short.
    """

    input_tokens: int
    output_tokens: int
    batch_size: int
    at_capacity: bool
    run: int
    priority: int = 0

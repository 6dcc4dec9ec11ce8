"""Which columns, beside those of the lengths, say what a row or a length means."""

from typing import NamedTuple

from joulecast.traces.reading.meaning.where import Condition


class Roles(NamedTuple):
    """Columns and what they say; None and empty where there is none.

    Attributes:
        also_input: Input tokens that the input column leaves out.
        also_output: Output tokens that the output column leaves out.
        cached: Input tokens that came from a cache of prefixes, within the sum of inputs.
        reasoning: Output tokens that should be within the output.
        total: Input and output together.
        requests: How many requests a row sums.
        perhaps_requests: A column that may be such a count.
        id: Name of a request.
        model: Name of a model.
        call: What kind of call it was.
        hit: Whether the answer came from a cache of answers.
        group: What requests are grouped by.
        blocks: Names of the blocks of a prompt, for a cache of prefixes.
        where: Columns of the conditions that a wanted row meets.
        conditions: These conditions, in the same order.
    """

    also_input: tuple[str, ...] = ()
    also_output: tuple[str, ...] = ()
    cached: str | None = None
    reasoning: str | None = None
    total: str | None = None
    requests: str | None = None
    perhaps_requests: str | None = None
    id: str | None = None
    model: str | None = None
    call: str | None = None
    hit: str | None = None
    group: str | None = None
    blocks: str | None = None
    where: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def where_text(self) -> str:
        """The conditions as `--where` takes them; empty without any."""
        return " and ".join(condition.text for condition in self.conditions)

    @property
    def columns(self) -> tuple[str, ...]:
        """All of these columns."""
        values = [value for value in self[2:-2] if isinstance(value, str)]
        return (*self.also_input, *self.also_output, *values, *self.where)

    @property
    def spelled(self) -> dict[str, str]:
        """Columns of a table of rows that may be added to lengths -> those of the log."""
        columns = {f"also_input_{k}": column for k, column in enumerate(self.also_input)}
        columns |= {f"also_output_{k}": column for k, column in enumerate(self.also_output)}
        others = {"cached": self.cached, "reasoning": self.reasoning}
        return columns | {name: column for name, column in others.items() if column is not None}


NO_ROLES = Roles()

"""What prefill and decoding took in the runs of a table: phases.csv, derived from their logs."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from joulecast.traces.errors import InputError
from joulecast.traces.files import write_text

PHASES_FILE = "phases.csv"


@dataclass(frozen=True)
class PhaseSplit:
    """The energy of one run, told apart. Values are for the whole window.

    Attributes:
        input_tokens: Input length of every request [tokens].
        output_tokens: Output length of every request [tokens].
        batch_size: Requests in a batch.
        run: Number of the repeat, from 1.
        batches: Batches in the window.
        prefill_j: Energy of the steps that feed prompts, whatever decodes beside these [J].
        prefill_error_j: Its standard error [J].
        decode_j: Energy of the steps in which requests decode and nothing else [J].
        decode_error_j: Its standard error [J].
        idle_j: Idle power over the time in which no step had the GPU [J].
        metered_j: What the meter read [J].
        prefill_seconds: How long the steps that feed prompts had the GPU [s].
        decode_seconds: Likewise the others [s].
        mixed_steps: Steps that feed prompts and decode beside these.
    """

    input_tokens: int
    output_tokens: int
    batch_size: int
    run: int
    batches: int
    prefill_j: float
    prefill_error_j: float
    decode_j: float
    decode_error_j: float
    idle_j: float
    metered_j: float
    prefill_seconds: float
    decode_seconds: float
    mixed_steps: int

    @property
    def batch(self) -> tuple[int, int, int]:
        """(I, O, batch size)."""
        return self.input_tokens, self.output_tokens, self.batch_size

    @property
    def sum_over_meter(self) -> float:
        """The parts together over what the meter read."""
        return (self.prefill_j + self.decode_j + self.idle_j) / self.metered_j

    @property
    def decode_share(self) -> float:
        """Decoding's share of the energy of both phases."""
        return self.decode_j / (self.prefill_j + self.decode_j)


_FIELDS: Mapping[str, type] = {
    field.name: int if field.type is int else float for field in fields(PhaseSplit)
}


_NEVER_0 = "batches", "prefill_j", "decode_j"


def write_phases(path: Path, provenance: Sequence[str], splits: Sequence[PhaseSplit]) -> None:
    """Write phases.csv, whole or not at all.

    Args:
        path: The file.
        provenance: Lines that say how it was made.
        splits: Its rows.

    Raises:
        InputError: It cannot be written.
    """
    lines = [f"# {line}" for line in provenance]
    lines.append(",".join(_FIELDS))
    lines += [",".join(f"{value:.6g}" for value in asdict(split).values()) for split in splits]
    write_text(path, "\n".join(lines) + "\n")


def read_phases(path: Path) -> list[PhaseSplit]:
    """Read phases.csv, believing nothing.

    Raises:
        InputError: A column or a value is wrong; file and line are named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    head = sum(line.startswith("#") for line in lines)
    rows = list(csv.reader(lines[head:]))
    if not rows or rows[0] != list(_FIELDS):
        raise InputError(f"{path}:{head + 1}: its columns must be {','.join(_FIELDS)}")
    return [_split(row, f"{path}:{head + number}") for number, row in enumerate(rows[1:], 2)]


def _split(row: Sequence[str], where: str) -> PhaseSplit:
    if len(row) != len(_FIELDS):
        raise InputError(f"{where}: has {len(row)} values, not {len(_FIELDS)}")
    values = {}
    for (name, kind), text in zip(_FIELDS.items(), row, strict=True):
        try:
            value = kind(text)
        except ValueError:
            raise InputError(f'{where}: its {name} is "{text}", which is no number') from None
        if not math.isfinite(value) or value < 0:
            raise InputError(f'{where}: its {name} is "{text}", not a number of 0 or more')
        if value == 0 and name in _NEVER_0:
            raise InputError(f"{where}: its {name} is 0, which no phase that was metered takes")
        values[name] = value
    return PhaseSplit(**values)

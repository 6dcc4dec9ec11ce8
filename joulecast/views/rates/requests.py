"""What each request takes, as a file."""

import csv
import io
from pathlib import Path

from joulecast.estimator.estimate import Estimate
from joulecast.traces.files import whole_file


def write_requests(path: Path, estimate: Estimate) -> None:
    """Write the part of each request as a row of a CSV file, whole or not at all.

    Args:
        path: The file.
        estimate: Whose requests are known one by one.

    Raises:
        InputError: They are not; or the file cannot be written.
    """
    pieces = estimate.request_columns()
    with whole_file(path) as file:
        for number, columns in enumerate(pieces):
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            if number == 0:
                writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
            file.write(text.getvalue().encode())

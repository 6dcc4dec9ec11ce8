"""The answer of a log of several models in a sentence."""

from typing import TYPE_CHECKING

from joulecast.views.answers import Sentence, Shown
from joulecast.views.answers.estimate import energy_parts

if TYPE_CHECKING:
    from joulecast.estimator.by_model import ModelEstimates


def models_answer(made: "ModelEstimates") -> Sentence:
    """What they take together, for which requests, and on how many servers of their own."""
    few, many = made.requests["estimated"], made.requests["total"]
    which: list[str | Shown] = ["the ", Shown("requests.estimated", f"{few:,}")]
    if few < many:
        which = [which[1], " of the ", Shown("requests.total", f"{many:,}")]
    count = len(made.estimates)
    models = "1 model" if count == 1 else f"{count:,} models, each on GPUs of its own"
    return [
        "It takes about ",
        *energy_parts(made),
        " of GPU energy to serve ",
        *which,
        f" requests of {made.trace} with {models}.",
    ]

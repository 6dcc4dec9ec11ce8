"""What engines share of decoding: how they name it, and what does not go with it."""

from joulecast.measurements.engines import EngineError, EngineVariant
from joulecast.measurements.engines.decoding import Speculation
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.shape import ModelShape


def decoding_settings(variant: EngineVariant) -> dict[str, str | None]:
    """What an engine says, among its settings, of how it chooses tokens."""
    speculation = variant.speculation
    return {
        "decoding_strategy": variant.decoding.text,
        "speculation": None if speculation is None else speculation.text,
    }


def require_plain_steps(variant: EngineVariant) -> None:
    """Refuse to log steps in which a request is not one sequence that gets a token a step.

    Raises:
        EngineError: They are such.
    """
    if not variant.is_plain:
        what = "beam search" if variant.decoding.is_beam_search else "speculation"
        raise EngineError(f"the steps of {what} are no steps of one token a request: not logged")


def require_same_vocabulary(shape: ModelShape, speculation: Speculation) -> None:
    """Refuse a draft whose tokens are not those of the model.

    Raises:
        EngineError: Their numbers differ.
    """
    draft = load_shape(speculation.draft)
    if draft.vocabulary != shape.vocabulary:
        raise EngineError(
            f"{speculation.draft}: its {draft.vocabulary:,} tokens are not the "
            f"{shape.vocabulary:,} of {shape.name}, which it would propose to; take another draft"
        )

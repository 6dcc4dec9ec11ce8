"""B(I, O) by trying: a prediction to start from, doubling, bisection, and what neighbours bound."""

from collections.abc import Callable
from dataclasses import dataclass

from joulecast.measurements.engines import MAX_BATCH_SIZE


@dataclass(frozen=True)
class Limits:
    """What the tries of a cell came to.

    Attributes:
        largest: The largest batch that fits; 0 if not even one request does.
        first_failed: The smallest that does not; None if the cap fits.
    """

    largest: int
    first_failed: int | None


class CapacitySearch:
    """Finds the largest batches, cell by cell.

    A batch that fits also fits with shorter requests, and one that does not fit does not with
    longer ones: so each cell's result bounds all others, and often decides them.

    Args:
        fits: Tries a batch of requests of (I, O): (I, O, batch size) -> whether it fits.
        predict: (I, O) -> about how large a batch will fit; only where to start.
        cap: Largest batch of interest.

    Attributes:
        limits: Cell -> what its tries came to.
        tries: How often `fits` was asked.
    """

    def __init__(
        self,
        fits: Callable[[int, int, int], bool],
        predict: Callable[[int, int], float],
        cap: int = MAX_BATCH_SIZE,
    ) -> None:
        self._fits, self._predict, self._cap = fits, predict, cap
        self._correction = 1.0
        self.limits: dict[tuple[int, int], Limits] = {}
        self.tries = 0

    def largest(self, input_tokens: int, output_tokens: int) -> int:
        """B(I, O), 0 if not even one request fits."""
        cell = input_tokens, output_tokens
        if cell not in self.limits:
            self.limits[cell] = self._search(*cell)
        return self.limits[cell].largest

    def _search(self, input_tokens: int, output_tokens: int) -> Limits:
        fits, fails = self._bounds(input_tokens, output_tokens)
        predicted = self._predict(input_tokens, output_tokens)
        batch_size = int(min(max(predicted * self._correction, fits + 1), fails - 1))
        step, grew, shrank = 1, False, False
        while fails - fits > 1:
            self.tries += 1
            if self._fits(input_tokens, output_tokens, batch_size):
                fits, grew = batch_size, True
            else:
                fails, shrank = batch_size, True
            if grew and shrank:
                batch_size = (fits + fails) // 2
            else:
                away = fits + step if grew else fails - step
                batch_size = min(max(away, fits + 1), fails - 1)
                step *= 2
        if 0 < fits < self._cap:
            self._correction = fits / predicted
        return Limits(fits, fails if fails <= self._cap else None)

    def _bounds(self, input_tokens: int, output_tokens: int) -> tuple[int, int]:
        """A batch known to fit (or 0) and one known not to (or one over the cap)."""
        fits, fails = 0, self._cap + 1
        for (i, o), limits in self.limits.items():
            if i >= input_tokens and o >= output_tokens:
                fits = max(fits, limits.largest)
            if i <= input_tokens and o <= output_tokens and limits.first_failed is not None:
                fails = min(fails, limits.first_failed)
        # Where memory is so tight that tries contradict each other, the failure is believed.
        return min(fits, fails - 1), fails

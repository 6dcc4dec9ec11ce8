"""What came of a draft's tokens in each window, counted by the engine: speculation.csv."""

from joulecast.measurements.engines import Engine, EngineError, SpeculatingEngine
from joulecast.measurements.engines.decoding import AcceptanceCount
from joulecast.measurements.gpu.window import Window
from joulecast.measurements.sweep.recorder_log import RecorderLog
from joulecast.measurements.table.runs import Run

_COLUMNS = "verified_steps", "proposed_tokens", "accepted_tokens", "cut_short", "acceptance"


class AcceptanceRecorder(RecorderLog):
    """Keeps, per window, how much of what was proposed was accepted."""

    def __init__(self) -> None:
        super().__init__("speculation.csv", _COLUMNS)
        self._engine: SpeculatingEngine | None = None
        self._count = AcceptanceCount()

    def watch(self, engine: Engine) -> None:
        """Ask this engine, loaded with a draft.

        Raises:
            EngineError: It does not count.
        """
        if not isinstance(engine, SpeculatingEngine):
            raise EngineError(f"{engine.name} does not count what it accepts of a draft")
        self._count, self._engine = engine.record_acceptance(), engine

    def start(self) -> None:
        """Before a window."""
        if self._engine is None:
            raise RuntimeError("watch() comes before start()")
        self._count = self._engine.record_acceptance()

    def stop(self) -> None:
        """After it; what is counted later is of no run."""
        if self._engine is not None:
            self._engine.record_acceptance()

    def record(self, run: Run, window: Window) -> None:  # noqa: ARG002 - others take its times
        """Keep the counts beside a run that is on disk."""
        count, acceptance = self._count, self._count.acceptance
        numbers = count.verified, count.proposed, count.accepted, count.cut_short
        self.append(run, [*numbers, None if acceptance is None else round(acceptance, 5)])

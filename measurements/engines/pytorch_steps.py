"""Every forward pass of a transformers model that runs a static batch, told by its hooks."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joulecast.measurements.engines.step_log import LoggedRequest, LoggedStep, RawStepLog

MEANINGS = {
    "schedule_begin": "when the forward pass of the step began on the host [s, monotonic clock]",
    "schedule_end": "the same: a static batch is not scheduled [s, monotonic clock]",
    "output_at": "when the work of the forward pass was done, for which the host waits while steps "
    "are logged [s, monotonic clock]",
    "returned": "the same as output_at [s, monotonic clock]",
}
"""What some columns of `steplog/columns.py` hold with this engine."""


@dataclass
class _StaticBatch:
    """A batch as it was run so far."""

    size: int
    input_tokens: int
    output_tokens: int
    begin: float
    first_token: float
    finish: float
    steps: int = 0

    def requests(self) -> list[LoggedRequest]:
        """Its requests, which all went through the same."""
        times = self.begin, self.first_token, self.finish
        return [
            LoggedRequest(self.input_tokens, self.output_tokens, *times, produced=self.steps)
            for _ in range(self.size)
        ]


class PytorchStepRecorder:
    """Keeps every forward pass from now until `stop`.

    Args:
        model: Of transformers, not compiled.
        synchronize: Waits until the GPU has done what was launched, as a pass returns before that.
        clock: Monotonic time [s].
    """

    def __init__(
        self,
        model: Any,
        synchronize: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._synchronize, self._clock = synchronize, clock
        self._begin = 0.0
        self._steps: list[LoggedStep] = []
        self._batches: list[_StaticBatch] = []
        self._output_tokens = 0
        self._hooks = (
            model.register_forward_pre_hook(self._before),
            model.register_forward_hook(self._after, with_kwargs=True),
        )

    def expect(self, output_tokens: int) -> None:
        """The next batch is asked for so many tokens per request."""
        self._output_tokens = output_tokens

    def stop(self) -> RawStepLog:
        """Take the hooks off; what was kept."""
        for hook in self._hooks:
            hook.remove()
        requests = {
            f"{number}-{k}": request
            for number, batch in enumerate(self._batches)
            for k, request in enumerate(batch.requests())
        }
        return RawStepLog(self._steps, requests, MEANINGS)

    def _before(self, *_: Any) -> None:
        self._begin = self._clock()

    def _after(self, _model: Any, _args: Any, options: Mapping[str, Any], output: Any) -> None:
        self._synchronize()
        end = self._clock()
        batch_size, fed = (int(size) for size in options["input_ids"].shape)
        cached = int(output.past_key_values.get_seq_length())
        is_prefill = cached == fed
        if is_prefill:
            self._batches.append(
                _StaticBatch(batch_size, fed, self._output_tokens, self._begin, end, end)
            )
        batch = self._batches[-1]
        batch.steps += 1
        batch.finish = end
        self._steps.append(
            LoggedStep(
                schedule_begin=self._begin,
                schedule_end=self._begin,
                output_at=end,
                returned=end,
                decoding=0 if is_prefill else batch_size,
                prompt_tokens=batch_size * fed if is_prefill else 0,
                context=0 if is_prefill else batch_size * cached,
                pairs=batch_size * fed * fed / 2 if is_prefill else 0.0,
                sampled=batch_size,
                prompts_fed=batch_size if is_prefill else 0,
                prompts_completed=batch_size if is_prefill else 0,
                running=batch_size,
                waiting=0,
                preempted=0,
            )
        )

"""Every step of a vLLM engine that schedules in this process.

What a step feeds is kept as vLLM's own numbers of tokens per request and reckoned up afterwards, so
that the engine waits little for it. When a step's output is there, vLLM gives the scheduler back
the very plan of that step (`update_from_output`): nothing is guessed of how far asynchronous
scheduling runs ahead. With tensor parallelism, all of this still happens in this one process.
"""

import bisect
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from joulecast.measurements.engines.step_log import LoggedRequest, LoggedStep, RawStepLog


class _Plan(NamedTuple):
    """What one call of the scheduler planned."""

    begin: float
    end: float
    fed: dict[str, int]
    preempted: tuple[str, ...]
    running: int
    waiting: int


class _Prompt(NamedTuple):
    """A request as the scheduler took it in."""

    input_tokens: int
    output_tokens: int
    cached: int


_BEFORE_THE_LOG = _Prompt(0, 0, 0)
"""A request that was taken in before the log began, and whose tokens count as decoded."""


class VllmStepRecorder:
    """Keeps every step between `start` and `stop`; off, it only passes calls on.

    Args:
        llm_engine: vLLM's own, with its scheduler in this process.
        clock: Monotonic time [s].

    Raises:
        AttributeError: This vLLM keeps its scheduler elsewhere.
    """

    def __init__(self, llm_engine: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._scheduler = llm_engine.engine_core.engine_core.scheduler
        self._is_on = False
        self._clear()
        self._own_schedule = self._scheduler.schedule
        self._own_update = self._scheduler.update_from_output
        self._own_step = llm_engine.step
        self._scheduler.schedule = self._schedule
        self._scheduler.update_from_output = self._update
        llm_engine.step = self._step

    def _clear(self) -> None:
        self._plans: list[_Plan] = []
        self._returns: list[float] = []
        self._output_at: dict[int, float] = {}
        self._prompts: dict[str, _Prompt] = {}
        self._pending: dict[int, int] = {}

    def start(self) -> None:
        """Keep steps from now on, when the engine has nothing to do."""
        self._clear()
        self._is_on = True

    def stop(self) -> RawStepLog:
        """Keep no more; what was kept, reckoned up."""
        self._is_on = False
        reckoning = _Reckoning(self._prompts, self._returns)
        for k, plan in enumerate(self._plans):
            reckoning.add(plan, self._output_at.get(k))
        self._clear()
        return RawStepLog(reckoning.steps, reckoning.requests)

    def _schedule(self, *args: Any, **options: Any) -> Any:
        if not self._is_on:
            return self._own_schedule(*args, **options)
        begin = self._clock()
        output = self._own_schedule(*args, **options)
        end = self._clock()
        preempted = output.preempted_req_ids
        if output.total_num_scheduled_tokens or preempted:
            for new in output.scheduled_new_reqs:
                if new.req_id not in self._prompts:
                    self._prompts[new.req_id] = _Prompt(
                        len(new.prompt_token_ids),
                        new.sampling_params.max_tokens,
                        new.num_computed_tokens,
                    )
            self._pending[id(output)] = len(self._plans)
            scheduler = self._scheduler
            self._plans.append(
                _Plan(
                    begin,
                    end,
                    dict(output.num_scheduled_tokens),
                    tuple(preempted) if preempted else (),
                    len(scheduler.running),
                    len(scheduler.waiting),
                )
            )
        return output

    def _update(self, scheduler_output: Any, *args: Any, **options: Any) -> Any:
        if self._is_on:
            k = self._pending.pop(id(scheduler_output), None)
            if k is not None:
                self._output_at[k] = self._clock()
        return self._own_update(scheduler_output, *args, **options)

    def _step(self, *args: Any, **options: Any) -> Any:
        outputs = self._own_step(*args, **options)
        if self._is_on:
            self._returns.append(self._clock())
        return outputs


class _Reckoning:
    """Makes rows of what the scheduler planned, one plan after the other."""

    def __init__(self, prompts: dict[str, _Prompt], returns: list[float]) -> None:
        self.steps: list[LoggedStep] = []
        self.requests: dict[str, LoggedRequest] = {}
        self._prompts, self._returns = prompts, returns
        self._computed = {key: prompt.cached for key, prompt in prompts.items()}
        self._target = {key: prompt.input_tokens for key, prompt in prompts.items()}

    def add(self, plan: _Plan, output_at: float | None) -> None:
        """One more plan, whose output was there at that moment [s, monotonic clock]."""
        returned = self._returned(output_at)
        for key in plan.preempted:
            if key in self.requests:
                self._preempt(key)
        decoding = prompt_tokens = context = prompts_fed = prompts_completed = 0
        pairs = 0.0
        for key, tokens in plan.fed.items():
            before = self._computed.get(key, 0)
            after = self._computed[key] = before + tokens
            target = self._target.get(key, 0)
            if before >= target:
                decoding += 1
                context += after
            else:
                prompt_tokens += tokens
                prompts_fed += 1
                pairs += (after * after - before * before) / 2
                prompts_completed += after >= target
            self._feed(key, plan.begin, returned if after >= target else None, after >= target)
        if plan.fed:
            self.steps.append(
                LoggedStep(
                    schedule_begin=plan.begin,
                    schedule_end=plan.end,
                    output_at=output_at,
                    returned=returned,
                    decoding=decoding,
                    prompt_tokens=prompt_tokens,
                    context=context,
                    pairs=pairs,
                    sampled=decoding + prompts_completed,
                    prompts_fed=prompts_fed,
                    prompts_completed=prompts_completed,
                    running=plan.running,
                    waiting=plan.waiting,
                    preempted=len(plan.preempted),
                )
            )
        elif self.steps:
            last = self.steps[-1]
            self.steps[-1] = last._replace(preempted=last.preempted + len(plan.preempted))

    def _returned(self, output_at: float | None) -> float | None:
        """When the engine call that gave this output returned [s, monotonic clock]."""
        if output_at is None:
            return None
        k = bisect.bisect_left(self._returns, output_at)
        return self._returns[k] if k < len(self._returns) else None

    def _preempt(self, key: str) -> None:
        """Its prompt and all that came out so far will be fed to it again."""
        request = self.requests[key]
        request.preempted += 1
        self._target[key] = request.input_tokens + request.produced
        self._computed[key] = 0

    def _feed(self, key: str, begin: float, returned: float | None, gives_token: bool) -> None:
        """What a request was fed may be the last that its next token needs."""
        prompt = self._prompts.get(key, _BEFORE_THE_LOG)
        request = self.requests.setdefault(
            key, LoggedRequest(prompt.input_tokens, prompt.output_tokens, begin)
        )
        if gives_token:
            request.produced += 1
            request.finish = returned
            if request.first_token is None:
                request.first_token = returned

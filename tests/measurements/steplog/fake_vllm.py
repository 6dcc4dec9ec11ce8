"""vLLM's engine core in fake time: a scheduler that runs ahead, and a GPU that takes a while."""

from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from tests.estimator.slow_scheduler import Request, SlowScheduler
from tests.measurements.fakes import FakeTime

TINY_CACHE = ContinuousBatching(
    token_budget=96, most_requests=12, cache_blocks=40, block_tokens=4, steps_to_release=1
)
"""So small that running requests outgrow it."""


class FakeScheduler(SlowScheduler):
    """One step of the slow scheduler at a time, told in vLLM's words.

    `rows` is the truth: what each step fed, as the slow scheduler has it.
    """

    def __init__(self, rules: ContinuousBatching, lengths: Sequence[tuple[int, int]]) -> None:
        super().__init__(rules, list(lengths))
        self.lengths = list(lengths)
        self.ids = {id(request): f"{k}-fake" for k, request in enumerate(self.waiting)}
        self.rows: list[tuple[float, ...]] = []
        self.seen: set[str] = set()
        self.preempted: list[str] = []
        self.all_preempted = 0

    def preempt(self, request: Request) -> None:
        super().preempt(request)
        self.preempted.append(self.ids[id(request)])
        self.all_preempted += 1

    def has_work(self) -> bool:
        return bool(self.waiting) or any(r.over_since is None for r in self.running)

    def schedule(self) -> SimpleNamespace:
        self.now += 1
        self.scheduled, self.budget, self.preempted = [], self.rules.token_budget, []
        self.release()
        if not self.continue_running():
            self.admit()
        fed = {self.ids[id(request)]: tokens for request, tokens in self.scheduled}
        new = [self._new(key) for key in fed if key not in self.seen]
        self.seen |= set(fed)
        if fed:
            self.rows.append(self.execute())
        return SimpleNamespace(
            num_scheduled_tokens=fed,
            total_num_scheduled_tokens=sum(fed.values()),
            scheduled_new_reqs=new,
            preempted_req_ids=set(self.preempted) or None,
        )

    def _new(self, key: str) -> SimpleNamespace:
        input_tokens, output_tokens = self.lengths[int(key.split("-", maxsplit=1)[0])]
        return SimpleNamespace(
            req_id=key,
            prompt_token_ids=[1] * input_tokens,
            num_computed_tokens=0,
            sampling_params=SimpleNamespace(max_tokens=output_tokens),
        )

    def update_from_output(self, plan: SimpleNamespace, output: object) -> dict[str, int]:
        return plan.num_scheduled_tokens


class FakeLlmEngine:
    """Schedules the next step while the GPU works on the one before.

    `on_gpu` is the truth: when each step began and ended on the GPU.
    """

    def __init__(
        self, fake_time: FakeTime, rules: ContinuousBatching, lengths: Sequence[tuple[int, int]]
    ) -> None:
        self.time = fake_time
        self.scheduler = FakeScheduler(rules, lengths)
        self.engine_core = SimpleNamespace(engine_core=SimpleNamespace(scheduler=self.scheduler))
        self.on_gpu: list[tuple[float, float]] = []
        self._queue: deque[tuple[Any, float]] = deque()

    def step(self) -> list[str]:
        if self.scheduler.has_work():
            self.time.sleep(0.0005)
            plan = self.scheduler.schedule()
            self.time.sleep(0.0002)
            if plan.total_num_scheduled_tokens:
                began = max([self.time.now, *(end for _, end in self.on_gpu[-1:])])
                ends = began + 0.004 + 1e-4 * plan.total_num_scheduled_tokens
                self.on_gpu.append((began, ends))
                self._queue.append((plan, ends))
                if len(self._queue) < 2:
                    return []
        if not self._queue:
            return []
        plan, ends = self._queue.popleft()
        self.time.now = max(self.time.now, ends)
        self.scheduler.update_from_output(plan, None)
        self.time.sleep(0.0003)
        return list(plan.num_scheduled_tokens)

    def run(self) -> None:
        while self.scheduler.has_work() or self._queue:
            self.step()

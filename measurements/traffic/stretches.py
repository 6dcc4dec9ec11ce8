"""What is asked in a minute of made-up traffic: stretches of requests, each of another kind.

Prices of work are told apart by stretches in which it comes in other proportions: one request at a
time, prompts alone, many that decode, and the mixtures that servers see, up to where the card is at
its power limit. How many requests that takes goes by the pace of the model at hand.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from joulecast.measurements.traffic.pace import LARGE_BATCH, Pace

SEED = 7
"""Of the requests' lengths and moments."""

PAUSE_SECONDS = 2.0
"""Least time with nothing to do between two stretches, which tells the idle power."""

_SAMPLE = 400
_LONGEST_SECONDS = 5.0
"""No request decodes for longer, alone, or slow models would not be done in a minute and a half."""

_OUTPUT_SHARE = 0.5
"""Most of what a request may hold that is output, where a model takes few tokens."""


@dataclass(frozen=True)
class TimedRequest:
    """A request of a stretch.

    Attributes:
        offset_seconds: When it comes, from the start of the stretch [s].
        input_tokens: Prompt [tokens].
        output_tokens: Asked for [tokens].
    """

    offset_seconds: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Stretch:
    """A stretch of traffic.

    Attributes:
        name: What it stands for.
        requests: In the order in which they come.
        load: Share of what the model can do that comes in a second; None where they come at once.
    """

    name: str
    requests: Sequence[TimedRequest]
    load: float | None = None


@dataclass(frozen=True)
class _Spread:
    """Lengths that spread as a log-normal distribution does, cut at both ends [tokens]."""

    median: float
    log_sd: float
    least: int
    most: int

    def draw(self, generator: random.Random) -> int:
        length = generator.lognormvariate(math.log(self.median), self.log_sd)
        return int(min(self.most, max(self.least, length)))


@dataclass(frozen=True)
class _Kind:
    """Lengths of the requests of a stretch."""

    name: str
    inputs: _Spread
    outputs: _Spread


_ALONE = _Kind("alone", _Spread(300, 0.8, 20, 3000), _Spread(150, 0.4, 30, 300))
_PROMPTS = _Kind("long prompts", _Spread(5000, 0.3, 1000, 9000), _Spread(8, 0.3, 2, 16))
_SERVER = _Kind("usual server", _Spread(900, 0.9, 20, 7000), _Spread(200, 0.6, 10, 700))
_DECODING = _Kind("many decoding", _Spread(120, 0.6, 16, 500), _Spread(300, 0.3, 100, 600))
_BURST = _Kind("short burst", _Spread(50, 0.5, 8, 200), _Spread(12, 0.4, 4, 30))
_CODE = _Kind("prompts back to back", _Spread(1500, 0.8, 50, 8000), _Spread(4, 0.5, 1, 12))
_OFFLINE = _Kind("all at once", _Spread(900, 0.9, 20, 7000), _Spread(80, 0.8, 8, 400))


@dataclass(frozen=True)
class TrafficMaker:
    """Makes the stretches for one engine.

    Attributes:
        pace: Of the model.
        longest: Most tokens that a request may have, input and output together.
        cache_tokens: Size of the KV cache [tokens].
        most_running: Most requests that the engine runs at once.
    """

    pace: Pace
    longest: int
    cache_tokens: int
    most_running: int

    def stretches(self, seed: int = SEED) -> list[Stretch]:
        """All of them, in their order."""
        generator = random.Random(seed)  # noqa: S311 - traffic, not secrets
        speed = min(2.0, max(0.3, 0.0066 / self.pace.step_seconds))
        held = _DECODING.inputs.median + _DECODING.outputs.median
        decoding = min(int(250 * max(1.0, speed)), int(0.5 * self.cache_tokens / held))
        decoding = min(decoding, self.most_running)
        burst = int(600 * min(1.0, speed) * min(1.0, self.most_running / LARGE_BATCH))
        return [
            self._alone(generator, 6.0),
            self._steady(generator, _PROMPTS, 4.0, 0.4),
            self._steady(generator, _SERVER, 9.0, 0.35),
            self._at_once(generator, _DECODING, decoding, 2.0),
            self._steady(generator, _SERVER, 9.0, 0.85, "near saturation"),
            self._at_once(generator, _BURST, burst, 1.0),
            self._at_once(generator, _CODE, self._filling(generator, _CODE, 4.0), 0.5),
            self._at_once(generator, _OFFLINE, self._filling(generator, _OFFLINE, 6.0), 0.5),
        ]

    def rough_seconds(self, stretches: Sequence[Stretch]) -> float:
        """About how long they take, the pauses included [s]."""
        seconds = PAUSE_SECONDS
        for stretch in stretches:
            lengths = [(r.input_tokens, r.output_tokens) for r in stretch.requests]
            work = len(lengths) * self._mean_seconds(lengths)
            last = stretch.requests[-1]
            alone = self.pace.request_seconds(last.input_tokens, last.output_tokens, 1)
            seconds += max(work, last.offset_seconds + alone) + PAUSE_SECONDS
        return seconds

    def _lengths(self, generator: random.Random, kind: _Kind) -> tuple[int, int]:
        most = int(min(_OUTPUT_SHARE * self.longest, _LONGEST_SECONDS / self.pace.step_seconds))
        output = min(kind.outputs.draw(generator), max(1, most))
        return max(1, min(kind.inputs.draw(generator), self.longest - output)), output

    def _alone(self, generator: random.Random, seconds: float) -> Stretch:
        """One after another, with a pause as long as every second takes."""
        requests: list[TimedRequest] = []
        at = 0.0
        while True:
            lengths = self._lengths(generator, _ALONE)
            took = self.pace.request_seconds(*lengths, 1)
            if requests and at + took > seconds:
                return Stretch(_ALONE.name, requests)
            requests.append(TimedRequest(at, *lengths))
            at += 1.4 * took + 0.15

    def _steady(
        self,
        generator: random.Random,
        kind: _Kind,
        seconds: float,
        load: float,
        name: str | None = None,
    ) -> Stretch:
        """At random moments (Poisson), so many a second that the GPU is busy for such a share."""
        rate = load / self._mean_seconds(self._sample(generator, kind))
        requests = []
        at = generator.expovariate(rate)
        while at < seconds:
            requests.append(TimedRequest(at, *self._lengths(generator, kind)))
            at += generator.expovariate(rate)
        requests = requests or [TimedRequest(0.0, *self._lengths(generator, kind))]
        return Stretch(name or kind.name, requests, load)

    def _at_once(
        self, generator: random.Random, kind: _Kind, count: int, seconds: float
    ) -> Stretch:
        """So many within a moment."""
        moments = sorted(generator.random() * seconds for _ in range(max(1, count)))
        requests = [TimedRequest(at, *self._lengths(generator, kind)) for at in moments]
        return Stretch(kind.name, requests)

    def _filling(self, generator: random.Random, kind: _Kind, seconds: float) -> int:
        """So many requests that the GPU is busy for so long."""
        return max(2, round(seconds / self._mean_seconds(self._sample(generator, kind))))

    def _sample(self, generator: random.Random, kind: _Kind) -> list[tuple[int, int]]:
        return [self._lengths(generator, kind) for _ in range(_SAMPLE)]

    def _mean_seconds(self, lengths: Sequence[tuple[int, int]]) -> float:
        return self.pace.mean_seconds(lengths, self.cache_tokens, self.most_running)

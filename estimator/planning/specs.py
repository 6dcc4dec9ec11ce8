"""What `--on` says: many deployments in a line.

    gpu=h100-sxm,h200-sxm,gpus=1..4,dtype=bfloat16,fp8

A word without a name is a further value of the name before it, and every value is taken with every
other: 2 x 3 x 2 deployments. What `compare --on` takes means the same here.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from joulecast.estimator.method import limits_of
from joulecast.estimator.unit_prices.deployment import DTYPES
from joulecast.estimator.variants.wish import Wish
from joulecast.measurements.engines import ENGINES
from joulecast.measurements.engines.decoding import Decoding, Speculation
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_config
from joulecast.traces.errors import InputError, unknown_name

DEFAULT_SPECS = (
    "gpu=a100-sxm4-80gb,h100-sxm,h200-sxm,l40s,gpus=1..4",
    "gpu=h100-sxm,h200-sxm,l40s,gpus=1..4,dtype=fp8",
)
"""What is planned over where nothing is named: cards that many have, in the formats that they
multiply in."""

MOST_CHOICES = 1000
_COUNTS = ("gpus", "replicas", "max-num-seqs", "max-num-batched-tokens")
_NAMES = (*(name for name in Wish._fields if name != "gpus"), *_COUNTS)
_MOST = {"gpus": 1024, "replicas": 100_000}
_EXAMPLE = "gpu=h100-sxm,h200-sxm,gpus=1..4,dtype=bfloat16,fp8"


@dataclass(frozen=True)
class Choice:
    """A deployment to plan with, as a user names it.

    Attributes:
        text: It alone, as `--on` takes it.
        wish: What of it is named; nothing, of a table.
        table: Name or folder of a table; None for a deployment.
        replicas: How many servers; None for the fewest that serve in time.
        max_num_seqs: Most requests that run at once; None for what is said of all.
        max_num_batched_tokens: Most tokens that a step feeds; None likewise.
    """

    text: str
    wish: Wish = field(default_factory=Wish)
    table: str | None = None
    replicas: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Choice":
        """From a value of each name."""
        of_wish = [f"{name}={values[name]}" for name in Wish._fields if name in values]
        counts = {name: int(value) for name, value in values.items() if name in _COUNTS}
        return cls(
            ",".join(f"{name}={values[name]}" for name in _NAMES if name in values),
            Wish.of_text(",".join(of_wish)) if of_wish else Wish(),
            None,
            *(counts.get(name) for name in _COUNTS[1:]),
        )

    @property
    def limits(self) -> dict[str, int]:
        """Limits of the engine that it names."""
        return limits_of(self)

    def require_known(self) -> None:
        """Refuse a name that is none, which is a slip and no option.

        Raises:
            InputError: There is no such model, GPU, engine, number format, strategy or draft.
        """
        wish = self.wish
        if wish.model is not None:
            load_config(wish.model)
        if wish.gpu is not None:
            load_gpu(wish.gpu)
        if wish.engine is not None and wish.engine not in ENGINES:
            raise unknown_name("engine", wish.engine, ENGINES)
        if wish.dtype is not None and wish.dtype not in DTYPES:
            raise InputError(
                f'"{wish.dtype}" is no number format; take one of: {", ".join(DTYPES)}'
            )
        if wish.decoding is not None:
            Decoding.of(wish.decoding)
        if wish.speculate is not None:
            load_config(Speculation.of(wish.speculate).draft)

    def with_model(self, model: str | None) -> "Choice":
        """The same of a model, where it names none."""
        if model is None or self.table is not None or self.wish.model is not None:
            return self
        return replace(self, wish=self.wish._replace(model=model))


def choices_of(texts: Iterable[str], model: str | None = None) -> list[Choice]:
    """All deployments that such texts say, each once, in their order.

    Args:
        texts: As `--on` takes them; none for `DEFAULT_SPECS`.
        model: Of those that name none; None for the default one.

    Raises:
        InputError: A text says none, or there are more than `MOST_CHOICES`.
    """
    given = list(texts) or list(DEFAULT_SPECS)
    choices = dict.fromkeys(
        choice.with_model(model) for text in given for choice in _expanded(text)
    )
    if len(choices) > MOST_CHOICES:
        raise _too_many(len(choices))
    return list(choices)


def _too_many(count: int) -> InputError:
    return InputError(
        f"--on says {count:,} deployments; name {MOST_CHOICES:,} at most, such as fewer limits"
    )


def _expanded(text: str) -> list[Choice]:
    """The deployments of a text, or the table that it names.

    Raises:
        InputError: It says none.
    """
    if "=" not in text:
        if not text.strip():
            raise InputError(f'--on "{text}": give a list such as {_EXAMPLE}, or a table')
        return [Choice(text, table=text)]
    values = _values(text)
    count = 1
    for of_name in values.values():
        count *= len(of_name)
    if count > MOST_CHOICES:
        raise _too_many(count)
    return [
        Choice.of(dict(zip(values, row, strict=True)))
        for row in itertools.product(*values.values())
    ]


def _values(text: str) -> dict[str, list[str]]:
    """Name -> its values."""
    values: dict[str, list[str]] = {}
    name = ""
    for part in text.split(","):
        before, equals, value = (word.strip() for word in part.rpartition("="))
        if equals:
            name = before.replace("_", "-")
            if name not in _NAMES or name in values:
                raise InputError(
                    f'--on "{text}": "{before}" is not one of {", ".join(_NAMES)}, each once; give '
                    f"a list such as {_EXAMPLE}, or the name of a table"
                )
            values[name] = []
        if not name or not value:
            raise InputError(f'--on "{text}": has a part without a value; give {_EXAMPLE}')
        values[name] += _counts(text, name, value) if name in _COUNTS else [value]
    return values


def _counts(text: str, name: str, value: str) -> list[str]:
    """A number, or the numbers that a range doubles through.

    Raises:
        InputError: It is neither.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,8})(?:\.\.([1-9][0-9]{0,8}))?", value)
    if match is None:
        raise InputError(
            f'--on "{text}": {name}={value} is no number; give one such as 2, several as 1,2,4, or '
            "1..4, which doubles"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    counts = [first]
    while counts[-1] < last:
        counts.append(2 * counts[-1])
    if counts[-1] != last:
        raise InputError(
            f'--on "{text}": {name}={value} doubles, and does not come to {last}; list the numbers '
            f"that are meant, such as {name}={first},{last}"
        )
    if last > _MOST.get(name, last):
        raise InputError(f'--on "{text}": {name} is {_MOST[name]:,} at most')
    return [str(count) for count in counts]

"""A deployment as a user names it, and what an estimate of it is made of."""

import re
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from joulecast.estimator.method import Method
from joulecast.measurements.engines.decoding import GREEDY, Decoding, Speculation
from joulecast.measurements.identity import require_greedy
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.errors import InputError

if TYPE_CHECKING:
    from joulecast.estimator.unit_prices.model import Served

_YES, _NO = ("yes", "true"), ("no", "false")


class Wish(NamedTuple):
    """A deployment as a user names it; None leaves a part of it to joulecast.

    Attributes:
        model: A shipped model's name, or a config.json.
        gpu: Short name, or a data sheet as a JSON file.
        engine: Of the engine.
        gpus: GPUs that share the model.
        dtype: Number format.
        eager: Whether nothing is compiled.
        decoding: How tokens are chosen, as `Decoding.of` takes it.
        speculate: The draft, as `Speculation.of` takes it.
    """

    model: str | None = None
    gpu: str | None = None
    engine: str | None = None
    gpus: int | None = None
    dtype: str | None = None
    eager: bool | None = None
    decoding: str | None = None
    speculate: str | None = None

    @classmethod
    def of_text(cls, text: str) -> "Wish":
        """From "model=qwen2.5-7b,gpu=l40s", as `--on` takes it.

        A comma ends a part, so a draft is written with colons: speculate=llama-3.2-1b:4:0.7.

        Raises:
            InputError: It is no such list.
        """
        parts: dict[str, str] = {}
        for part in text.split(","):
            name, equals, value = (word.strip() for word in part.partition("="))
            if name not in cls._fields or not equals or not value or name in parts:
                raise InputError(
                    f'"{text}": give a list such as model=qwen2.5-7b,gpu=l40s, each of '
                    f"{', '.join(cls._fields)} once at most, or the name of a table"
                )
            parts[name] = value
        count, eager = parts.get("gpus"), parts.get("eager")
        if count is not None and not (count.isascii() and count.isdigit() and int(count) > 0):
            raise InputError(f'"{text}": gpus={count} is no number of GPUs')
        if eager not in (None, *_YES, *_NO):
            raise InputError(f'"{text}": eager={eager} is neither yes nor no')
        draft = parts.get("speculate")
        return cls(
            model=parts.get("model"),
            gpu=parts.get("gpu"),
            engine=parts.get("engine"),
            gpus=None if count is None else int(count),
            dtype=parts.get("dtype"),
            eager=True if eager in _YES else None,
            decoding=parts.get("decoding"),
            speculate=None if draft is None else ",".join(draft.rsplit(":", 2)),
        )

    def serving_as(self, how: Mapping[str, Any]) -> "Wish":
        """The same, as values of `VariantKeywords` among others say."""
        return self._replace(
            eager=bool(how.get("eager")) or None,
            decoding=how.get("decoding"),
            speculate=how.get("speculate"),
        )

    @property
    def is_greedy(self) -> bool:
        """Whether tokens are chosen greedily, without a draft."""
        return self.speculate is None and self.decoding in (None, GREEDY.text)

    @property
    def asks_for_nothing(self) -> bool:
        """Whether the deployment is left to joulecast, however its tokens are chosen."""
        return set(self._replace(decoding=None, speculate=None)) == {None}


_OPTION = re.compile(
    rf"(?<![\w-])--({'|'.join(Wish._fields)})(?![\w-])"
    r"(?: (vllm|pytorch|[\w.-]+[:,][\w.:,-]*\w|[\w.-]*\d(?:[\w.-]*\w)?))?"
)
"""An option of a single deployment, with its value if that is told: most have a digit."""


def choose_served(
    table: EnergyTable | None,
    wish: Wish,
    idle_watts: float | None = None,
    decode_watts: float | None = None,
    method: Method = "stepwise",
) -> "Served":
    """What an estimate is made of: a table, or prices scaled to a deployment.

    Args:
        table: To be taken as it is, if nothing else is asked for; else what to scale from.
        wish: The deployment; of a table, what of it is another.
        idle_watts: What a card draws with the model loaded and nothing to do [W].
        decode_watts: What it draws while a single request decodes [W].
        method: How; the step model takes what a table of largest batches lacks from others.

    Raises:
        InputError: Not all of it is known or goes together, or the table is of no greedy decoding.
    """
    if table is not None:
        require_greedy(table.metadata, table.name)
    decoding = GREEDY if wish.decoding is None else Decoding.of(wish.decoding)
    speculation = None if wish.speculate is None else Speculation.of(wish.speculate)
    served = _greedy(table, wish, idle_watts, decode_watts, method)
    if wish.is_greedy:
        return served
    if method == "binned":
        raise InputError(
            "how tokens are chosen (--decoding, --speculate) is for --method stepwise; leave these "
            "out, or --method binned"
        )
    from joulecast.estimator.variants.model import variant_of

    return variant_of(served, decoding, speculation, table)


def _greedy(
    table: EnergyTable | None,
    wish: Wish,
    idle_watts: float | None,
    decode_watts: float | None,
    method: Method,
) -> "Served":
    """The same for greedy decoding without a draft."""
    asks_for_nothing = wish.asks_for_nothing and idle_watts is None and decode_watts is None
    is_whole = method == "binned" or (table is not None and not table.is_at_capacity_alone)
    if table is not None and asks_for_nothing and is_whole:
        return table
    from joulecast.estimator.unit_prices.carry import OwnWatts
    from joulecast.estimator.unit_prices.model import (
        Scaling,
        can_scale_from,
        deployment_like,
        is_of_deployment,
        served_by,
    )

    if table is not None and asks_for_nothing and not can_scale_from(table):
        return table
    asked = wish.model, wish.gpu, wish.engine, wish.gpus, wish.dtype, bool(wish.eager)
    deployment = deployment_like(table, *asked)
    watts = OwnWatts(idle_watts, decode_watts)
    is_as_measured = table is not None and is_whole and watts == OwnWatts()
    if table is not None and is_as_measured and is_of_deployment(table, deployment):
        return table  # what was asked for beside it, it is
    return served_by(deployment, watts) if table is None else Scaling(deployment, watts, table)


def served_of_text(text: str, method: Method) -> "Served":
    """A table by its name or folder, or a deployment such as "model=qwen2.5-7b,gpu=l40s".

    Raises:
        InputError: It is neither.
    """
    if "=" not in text:
        return choose_served(load_table(text), Wish(), method=method)
    served = choose_served(None, Wish.of_text(text), method=method)
    if method == "binned" and not isinstance(served, EnergyTable):
        raise no_table(served.name)
    return served


def as_of_specs(text: str, own: Container[str] = ()) -> str:
    """Advice that names options of a single deployment, as a list of deployments has it.

    "--gpus 8" becomes "gpus=8"; commands to run are left as they are.

    Args:
        text: The advice.
        own: Options that there are beside the list, such as "--model".
    """

    def word(match: re.Match[str]) -> str:
        name, value = match.groups()
        if f"--{name}" in own:
            return match[0]
        return name if value is None else f"{name}={value}"

    advice, command, rest = text.partition("joulecast measure")
    return _OPTION.sub(word, advice) + command + rest


def no_table(name: str) -> InputError:
    """That the binned method has nothing to estimate a deployment of such a name from."""
    return InputError(
        f"{name}: no table of it was measured, and the method binned needs one; leave --method out"
    )

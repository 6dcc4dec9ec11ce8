"""What each sitting of the campaign runs: the commands that commands.py takes in turn."""

from collections.abc import Sequence
from dataclasses import replace

from jobs import SEED, TRACES, Job, Online, Typed  # type: ignore[import-not-found]

CONV, CODE = TRACES
SERVED = (
    ("busy", 350, f"{CONV} {CODE} {CONV} {CODE} --speed 1.7 --speed 1 --speed 2.2 --speed 6"),
    ("long", 120, "long-outputs.csv --rate 3 --seconds 60"),
    ("chat", 100, "burstgpt-reconstructed --rate 20 --seconds 60"),
    ("quiet", 160, f"{CONV} {CONV} --speed 0.1 --speed 0.8 --begin 600"),
    ("beyond", 160, f"{CONV} --speed 3.2 --begin 900"),
)

SHORT = (
    "code-at-most-32-outputs.csv conv-at-most-128-outputs.csv --requests 1000 --requests 700 "
    f"--seed {SEED}"
)
"""Rows of the traces whose outputs are so short: static batches run to their longest."""

SWEEPS = "--runs 1 --log --time-budget 11 --engine vllm --model llama-3.1-8b"

PAIR = "--gpu 0 --gpu 1"
QWEN_PAIR = Online(
    "qwen1.5-32b",
    "h200-sxm/qwen1.5-32b-tp2-online",
    (("served", 175, f"{CONV} {CODE} --speed 0.4 --speed 2 --begin 300"),),
    ("--gpu", "0", "--gpu", "1"),
)

FOUR = " ".join(f"--gpu {card}" for card in range(4))
LLAMA_FOUR = Job(
    "llama-3.1-8b",
    "h200-sxm/llama-3.1-8b-tp4",
    FOUR.split(),
    table="vllm-tp4",
    parts=(("replay", 130), ("traffic", 115)),
)
QWEN_FOUR = replace(
    LLAMA_FOUR, model="qwen1.5-32b", folder="h200-sxm/qwen1.5-32b-tp4", requests=200
)
LATER = (("quick", 115),)
"""Of tables of four GPUs: what traffic and replays have left time for."""

PYTORCH = "--engine pytorch --model llama-3.1-8b"
BATCHES = "measure --plan batches --runs 1 --log --engine vllm --model"
"""Of figure 2: a mixture of experts beside dense models."""

DECODING = "measure --plan decoding --engine vllm --model llama-3.1-8b"
STRATEGIES = "--decoding greedy --decoding temperature:0.8 --decoding top-p:0.9"
ACCEPTANCES = " ".join(f"--speculate llama-3.2-1b,4,{a}" for a in (0.7, 0, 0.9, 1, 0.5))

PYTORCH_BATCHES = f"measure --plan batches --runs 1 {PYTORCH}"
SMALL_PYTORCH = f"measure --plan decoding --runs 3 {PYTORCH}"
"""Batches of 1, 8, 64 and 128 alone: each shape compiles for half a minute."""

IN_FLIGHT = f"replay {CONV} --seed {SEED} --engine vllm --model llama-3.1-8b"
"""Of figure 7. One at a time is one and the same, continuously and in batches: it is left out."""

SHORT_TASKS, LONG_TASKS = "wmt-14.csv wikitext-2.csv", "imdb.csv cnn-dailymail.csv"
"""Of figures 6 and 10, in the folder of the traces: joulecast trace task NAME --from-figures
--unpadded -o NAME.csv."""

TASK_DRAWS = (
    ("one", 1, f"{SHORT_TASKS} {LONG_TASKS} --requests 4"),
    ("eight", 8, f"{SHORT_TASKS} {LONG_TASKS} --requests 16"),
    ("short-128", 128, f"{SHORT_TASKS} --requests 512"),
    ("long-128", 128, f"{LONG_TASKS} --requests 256 --runs 3"),
)
"""Fewer requests where few are served at once: a request alone takes seconds. Three runs where
both engines compute, and differ by little."""


def task_commands(
    engine: str, ways: str, largest: Sequence[str], seconds: Sequence[float]
) -> list[tuple[str, float, str]]:
    """The same draws of the tasks for an engine; `largest` is added where 128 run at once."""
    more = ["", "", *largest]
    return [
        (
            f"{engine}-{name}",
            needed_s,
            (
                f"replay {draw} --seed {SEED} --engine {engine} --model llama-3.1-8b "
                f"{ways.format(n=n)} {largest_words}"
            ),
        )
        for (name, n, draw), largest_words, needed_s in zip(TASK_DRAWS, more, seconds, strict=True)
    ]


IN_FLIGHT_JOB = Typed(
    "h200-sxm/llama-3.1-8b-in-flight",
    (
        (
            "many",
            420,
            (
                f"{IN_FLIGHT} --requests 400 --runs 3 --in-flight 128 --in-flight 256 "
                "--static 128 --static 256"
            ),
        ),
        (
            "few",
            200,
            f"{IN_FLIGHT} --requests 200 --in-flight 8 --in-flight 32 --static 8 --static 32",
        ),
    ),
)
TASKS_VLLM = Typed(
    "h200-sxm/llama-3.1-8b-tasks",
    task_commands(
        "vllm",
        "--in-flight {n} --static {n} --pad",
        ("--in-flight 512 --static 512", "--in-flight 256 --static 256"),
        (80, 80, 120, 280),
    ),
)
TASKS_PYTORCH = Typed(
    "h200-sxm/llama-3.1-8b-tasks",
    task_commands(
        "pytorch", "--static {n}", ("--static largest", "--static largest"), (100, 60, 110, 280)
    ),
)

REST_OF_SWEEPS = Typed(
    "h200-sxm/llama-3.1-8b-sweeps",
    (("vllm-sweeps", 60, f"measure --plan sweeps --resume {SWEEPS.replace('11', '15')}"),),
)
REST_OF_TOP_P = Typed(
    "h200-sxm/llama-3.1-8b-decoding/vllm",
    (("top-p-0.9", 45, f"{DECODING} --runs 3 --decoding top-p:0.9 --resume"),),
)
TOP_P_AGAIN = Typed(
    "h200-sxm/llama-3.1-8b-decoding-second/vllm",
    (
        ("greedy", 90, f"{DECODING} --runs 3 --decoding greedy"),
        ("top-p-0.9", 90, f"{DECODING} --runs 3 --decoding top-p:0.9"),
    ),
)
"""After the sweeps: their requests are longer, and an engine is started for its first command's."""

REST_OF_SPECULATION = Typed(
    "h200-sxm/llama-3.1-8b-speculation/vllm",
    (
        ("acceptance-1", 30, f"{DECODING} --runs 1 --speculate llama-3.2-1b,4,1 --resume"),
        ("acceptance-0.5", 40, f"{DECODING} --runs 1 --speculate llama-3.2-1b,4,0.5"),
    ),
)
BEAMS = "--plan decoding --runs 1 --decoding beam:4"
STEADY = (
    ("mid", 100, f"{CONV} --speed 1.7"),
    ("chat", 100, "burstgpt-reconstructed --rate 20 --seconds 60"),
)
"""Of the windows of SERVED, those in the middle of the load, where estimates were too low."""
UNEVEN = (
    *STEADY,
    ("nearly-full", 85, f"{CONV} --speed 2.2"),
    ("code", 85, f"{CODE} --speed 1"),
    ("light", 85, f"{CONV} --speed 0.8 --begin 600"),
    ("bursts", 85, f"{CODE} --speed 6"),
)
"""Of SERVED, all that lasts one minute and less, on cards that did not serve them yet."""

FIRST, SECOND = ("--gpu", "0"), ("--gpu", "1")


def new_model(
    model: str,
    conv: float,
    code: float,
    chat: float,
    card: Sequence[str],
    folder: str = "online",
    names: Sequence[str] = ("conv", "code", "chat"),
) -> Online:
    """Conversations and code at so many times their pace, chat at so many requests a second."""
    commands = (
        ("conv", 85, f"{CONV} --speed {conv} --begin 300"),
        ("code", 85, f"{CODE} --speed {code} --begin 300"),
        ("chat", 100, f"burstgpt-reconstructed --rate {chat} --seconds 60"),
    )
    return Online(
        model,
        f"h200-sxm/{model}-{folder}",
        [command for command in commands if command[0] in names],
        card,
    )


def quick(model: str, card: Sequence[str], again: str = "") -> Typed:
    """A quick plan with the log of its steps."""
    words = f"measure --plan quick --log --engine vllm --model {model} {' '.join(card)}"
    return Typed(
        f"h200-sxm/{'-'.join(filter(None, (model, again)))}", (("vllm-quick", 130, words),)
    )


def long_answers(model: str, rate: float, folder: str, card: Sequence[str]) -> Online:
    """Requests that decode up to 4,000 tokens, so many a second."""
    return Online(
        model,
        f"h200-sxm/{model}-{folder}",
        (("long", 90, f"long-outputs.csv --rate {rate} --seconds 60"),),
        card,
    )


def tied(
    folder: str, card: Sequence[str], names: Sequence[str] = ("long", "mid")
) -> list[Typed | Online]:
    """What most cards of the kind ran, and long answers."""
    model = "llama-3.1-8b"
    batches = f"{BATCHES} {model} {' '.join(card)}"
    served = (
        ("long", 90, "long-outputs.csv --rate 3 --seconds 60"),
        ("mid", 85, f"{CONV} --speed 1.7"),
    )
    return [
        Typed(f"h200-sxm/{model}-batches-{folder}", (("vllm-batches", 90, batches),)),
        Online(
            model,
            f"h200-sxm/{model}-online-{folder}",
            [command for command in served if command[0] in names],
            card,
        ),
    ]


SITTINGS = {
    "h200-caches-llama-2-7b": [
        quick("llama-2-7b", FIRST),
        Typed(
            "h200-sxm/llama-2-7b-batches",
            (("vllm-batches", 90, f"{BATCHES} llama-2-7b {' '.join(FIRST)}"),),
        ),
        new_model("llama-2-7b", 1, 1, 10, FIRST, "online", ("conv", "chat")),
        long_answers("llama-2-7b", 1.5, "online", FIRST),
    ],
    "h200-caches-llama-3.1-8b": tied("thirteenth", FIRST, ("mid",)),
    "h200-caches-mistral-7b": [
        quick("mistral-7b", FIRST),
        new_model("mistral-7b", 1.2, 2, 15, FIRST),
        long_answers("mistral-7b", 3, "online", FIRST),
    ],
    "h200-paces-first-llama-3.1-8b": tied("eleventh", FIRST),
    "h200-paces-first-qwen3-8b": [
        quick("qwen3-8b", FIRST),
        long_answers("qwen3-8b", 3, "online-second", FIRST),
    ],
    "h200-paces-first-llama-3.2-3b": [
        quick("llama-3.2-3b", FIRST),
        new_model("llama-3.2-3b", 2.5, 4, 30, FIRST, "online-second", ("code", "chat")),
    ],
    "h200-paces-first-qwen2.5-1.5b": [
        quick("qwen2.5-1.5b", FIRST),
        new_model("qwen2.5-1.5b", 3, 4, 40, FIRST, "online-second", ("code", "chat")),
    ],
    "h200-paces-first-llama-2-7b": [
        new_model("llama-2-7b", 0.4, 1, 10, FIRST, "online", ("conv", "chat"))
    ],
    "h200-paces-second-llama-3.1-8b": tied("twelfth", SECOND),
    "h200-paces-second-qwen2.5-14b": [
        quick("qwen2.5-14b", SECOND),
        long_answers("qwen2.5-14b", 2, "online-second", SECOND),
    ],
    "h200-paces-second-qwen2.5-7b": [
        quick("qwen2.5-7b", SECOND, "second"),
        long_answers("qwen2.5-7b", 3, "online-third", SECOND),
    ],
    "h200-paces-second-qwen3-4b": [new_model("qwen3-4b", 2, 3, 25, SECOND)],
    "h200-paces-second-mistral-7b": [new_model("mistral-7b", 1.2, 2, 15, SECOND)],
    "h200-new-first-llama-3.1-8b": [
        Online(
            "llama-3.1-8b",
            "h200-sxm/llama-3.1-8b-online-ninth",
            (
                ("long", 90, "long-outputs.csv --rate 3 --seconds 60"),
                *STEADY,
                ("code", 85, f"{CODE} --speed 1"),
                ("light", 85, f"{CONV} --speed 0.8 --begin 600"),
            ),
            FIRST,
        ),
    ],
    "h200-new-first-qwen3-8b": [new_model("qwen3-8b", 1, 2, 15, FIRST)],
    "h200-new-first-qwen3-30b-a3b": [
        Online(
            "qwen3-30b-a3b",
            "h200-sxm/qwen3-30b-a3b-online-third",
            (
                ("conv", 90, f"{CONV} --speed 0.4 --begin 1200"),
                ("code", 70, f"{CODE} --speed 1 --begin 1200"),
            ),
            FIRST,
        ),
    ],
    "h200-new-first-llama-3.2-3b": [new_model("llama-3.2-3b", 2.5, 4, 30, FIRST)],
    "h200-new-second-llama-3.1-8b": [
        Online(
            "llama-3.1-8b",
            "h200-sxm/llama-3.1-8b-online-tenth",
            (
                ("long", 90, "long-outputs.csv --rate 3 --seconds 60"),
                *STEADY,
                ("quiet", 85, f"{CONV} --speed 0.1 --begin 600"),
                ("beyond", 95, f"{CONV} --speed 3.2 --begin 900"),
            ),
            SECOND,
        ),
    ],
    "h200-new-second-qwen2.5-14b": [new_model("qwen2.5-14b", 0.6, 1, 8, SECOND)],
    "h200-new-second-qwen2.5-7b": [
        Online(
            "qwen2.5-7b",
            "h200-sxm/qwen2.5-7b-online-second",
            (
                ("busy", 175, f"{CONV} {CODE} --speed 1.2 --speed 3 --begin 300"),
                ("chat", 100, "burstgpt-reconstructed --rate 40 --seconds 60"),
            ),
            SECOND,
        ),
    ],
    "h200-new-second-qwen2.5-1.5b": [new_model("qwen2.5-1.5b", 3, 4, 40, SECOND)],
    "h200-online-first-of-pair": [
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-fourth", UNEVEN, ("--gpu", "0")),
    ],
    "h200-online-second-of-pair": [
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-fifth", UNEVEN, ("--gpu", "1")),
    ],
    "h200-four-llama": [
        LLAMA_FOUR,
        Typed(
            "h200-sxm/llama-3.1-8b-tp4-batches",
            (("vllm-tp4-batches", 100, f"{BATCHES} llama-3.1-8b {FOUR}"),),
        ),
        replace(LLAMA_FOUR, parts=LATER),
    ],
    "h200-four-qwen1.5-32b": [
        QWEN_FOUR,
        Typed(
            "h200-sxm/qwen1.5-32b-tp4-batches",
            (("vllm-tp4-batches", 110, f"{BATCHES} qwen1.5-32b {FOUR}"),),
        ),
        replace(QWEN_FOUR, parts=LATER),
        replace(QWEN_PAIR, folder="h200-sxm/qwen1.5-32b-tp4-online", options=FOUR.split()),
    ],
    "h200-first-of-four": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches-second",
            (("vllm-batches", 90, f"{BATCHES} llama-3.1-8b --gpu 0"),),
        ),
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-sixth", UNEVEN, ("--gpu", "0")),
    ],
    "h200-second-of-four": [
        Typed(
            "h200-sxm/qwen1.5-32b-batches-second",
            (("vllm-batches", 100, f"{BATCHES} qwen1.5-32b --gpu 1"),),
        ),
        Online(
            "qwen1.5-32b",
            "h200-sxm/qwen1.5-32b-online",
            (
                ("served", 175, f"{CONV} {CODE} --speed 0.4 --speed 1 --begin 300"),
                ("chat", 100, "burstgpt-reconstructed --rate 4 --seconds 60"),
                ("light", 85, f"{CONV} --speed 0.2 --begin 600"),
            ),
            ("--gpu", "1"),
        ),
    ],
    "h200-third-of-four": [
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-seventh", UNEVEN, ("--gpu", "2")),
    ],
    "h200-fourth-of-four": [
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-eighth", UNEVEN, ("--gpu", "3")),
    ],
    "h200-rest": [
        REST_OF_TOP_P,
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-second", STEADY),
        REST_OF_SWEEPS,
    ],
    "h200-rest-sweeps": [
        REST_OF_SWEEPS,
        TOP_P_AGAIN,
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-third", STEADY),
    ],
    "h200-rest-speculation": [REST_OF_SPECULATION],
    "h200-rest-beams": [
        Typed(
            "h200-sxm/llama-3.1-8b-decoding/vllm",
            (("beam-4", 60, f"measure {BEAMS} --engine vllm --model llama-3.1-8b"),),
        ),
    ],
    "h200-rest-pytorch": [
        Typed("h200-sxm/llama-3.1-8b-pytorch-batches", (("pytorch-batches", 80, PYTORCH_BATCHES),)),
    ],
    "h200-rest-beams-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-decoding/pytorch",
            (("beam-4", 60, f"measure {BEAMS} {PYTORCH}"),),
        ),
    ],
    "h200-rest-pytorch-repeated": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-repeated",
            (
                (
                    "pytorch-batches",
                    200,
                    PYTORCH_BATCHES.replace("--runs 1", "--runs 2 --time-budget 4"),
                ),
            ),
        ),
    ],
    "h200-rest-compiled-repeated": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-repeated",
            (("pytorch-compiled-batches", 300, f"{PYTORCH_BATCHES} --compile --time-budget 5"),),
        ),
    ],
    "h200-small-compiled": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-small",
            (("pytorch-compiled-small", 300, f"{SMALL_PYTORCH} --compile --time-budget 5"),),
        ),
    ],
    "h200-small-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-small",
            (("pytorch-small", 110, SMALL_PYTORCH),),
        ),
    ],
    "h200-sweeps-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-sweeps",
            (
                (
                    "pytorch-sweeps",
                    300,
                    f"measure --plan sweeps --runs 2 --log --time-budget 9 {PYTORCH}",
                ),
            ),
        ),
    ],
    "h200-rest-compiled": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-batches",
            (("pytorch-compiled-batches", 120, f"{PYTORCH_BATCHES} --compile --time-budget 5"),),
        ),
    ],
    "h200-inflight": [IN_FLIGHT_JOB],
    "h200-tasks-vllm": [TASKS_VLLM],
    "h200-inflight-and-tasks": [IN_FLIGHT_JOB.only("many"), TASKS_VLLM, IN_FLIGHT_JOB.only("few")],
    "h200-tasks-pytorch": [TASKS_PYTORCH],
    "h200-tasks-pytorch-long": [TASKS_PYTORCH.only("pytorch-long-128")],
    "h200-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch",
            (
                ("pytorch-quick", 300, f"measure --plan quick {PYTORCH}"),
                (
                    "replays",
                    170,
                    f"replay {SHORT} {PYTORCH} --table {{results}}/pytorch-quick",
                ),
            ),
        )
    ],
    "h200-sweeps": [
        Typed(
            "h200-sxm/llama-3.1-8b-sweeps",
            (
                (
                    "vllm-sweeps",
                    300,
                    f"measure --plan sweeps {SWEEPS}",
                ),
            ),
        )
    ],
    "h200-batches-olmoe": [
        Typed("h200-sxm/olmoe-1b-7b-batches", (("vllm-batches", 165, f"{BATCHES} olmoe-1b-7b"),))
    ],
    "h200-batches-olmo-1b": [
        Typed("h200-sxm/olmo-1b-batches", (("vllm-batches", 165, f"{BATCHES} olmo-1b"),))
    ],
    "h200-pair-qwen1.5-32b": [
        Typed(
            "h200-sxm/qwen1.5-32b-tp2-batches",
            (("vllm-tp2-batches", 100, f"{BATCHES} qwen1.5-32b {PAIR}"),),
        ),
        QWEN_PAIR,
    ],
    "h200-pair-llama": [
        Typed(
            "h200-sxm/llama-3.1-8b-tp2-batches",
            (("vllm-tp2-batches", 90, f"{BATCHES} llama-3.1-8b {PAIR}"),),
        ),
    ],
    "h200-first-of-pair": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches",
            (("vllm-batches", 90, f"{BATCHES} llama-3.1-8b --gpu 0"),),
        ),
    ],
    "h200-first-sweeps": [
        Typed(
            "h200-sxm/llama-3.1-8b-sweeps",
            (("vllm-sweeps", 60, f"measure --plan sweeps --gpu 0 --resume {SWEEPS}"),),
        ),
    ],
    "h200-first-eager": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches",
            (("vllm-eager-batches", 90, f"{BATCHES} llama-3.1-8b --eager --gpu 0"),),
        ),
    ],
    "h200-second-of-pair": [
        Typed(
            "h200-sxm/qwen1.5-32b-batches",
            (("vllm-batches", 90, f"{BATCHES} qwen1.5-32b --gpu 1"),),
        ),
    ],
    "h200-first-speculation": [
        Typed(
            "h200-sxm/llama-3.1-8b-speculation",
            (("vllm", 90, f"{DECODING} --runs 1 {ACCEPTANCES} --gpu 0"),),
        ),
    ],
    "h200-second-decoding": [
        Typed(
            "h200-sxm/llama-3.1-8b-decoding",
            (("vllm", 90, f"{DECODING} --runs 3 {STRATEGIES} --gpu 1"),),
        ),
    ],
    "h200-second-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches",
            (
                ("pytorch-batches", 60, f"{PYTORCH_BATCHES} --gpu 1"),
                ("pytorch-compiled-batches", 60, f"{PYTORCH_BATCHES} --compile --gpu 1"),
            ),
        ),
    ],
    "h200-second-olmo-7b": [
        Typed("h200-sxm/olmo-7b-batches", (("vllm-batches", 90, f"{BATCHES} olmo-7b --gpu 1"),))
    ],
    "h200-online-llama": [Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online", SERVED)],
    "h200-online-qwen2.5": [
        Online(
            "qwen2.5-7b",
            "h200-sxm/qwen2.5-7b-online",
            (
                ("busy", 175, f"{CONV} {CODE} --speed 1.2 --speed 3 --begin 300"),
                ("chat", 100, "burstgpt-reconstructed --rate 40 --seconds 60"),
            ),
        )
    ],
    "h200-online-qwen3": [
        Online(
            "qwen3-30b-a3b",
            "h200-sxm/qwen3-30b-a3b-online",
            (("busy", 175, f"{CONV} {CODE} --speed 0.7 --speed 2 --begin 1200"),),
        )
    ],
    "h200-qwen3-again": [
        Typed(
            "h200-sxm/qwen3-30b-a3b",
            (("vllm-quick", 130, "measure --plan quick --engine vllm --model qwen3-30b-a3b"),),
        ),
        Online(
            "qwen3-30b-a3b",
            "h200-sxm/qwen3-30b-a3b-online-again",
            (
                ("conv-0.7x", 90, f"{CONV} --speed 0.7 --begin 1200"),
                ("code-2x", 70, f"{CODE} --speed 2 --begin 1200"),
            ),
        ),
    ],
    "h100-fourth": [
        Job(
            "llama-3.1-8b",
            "h100-sxm/llama-3.1-8b-fp8",
            ("--quantization", "fp8"),
            table="vllm-fp8",
        ),
    ],
    "h100-pair-second": [
        Job(
            "qwen1.5-32b",
            "h100-sxm/qwen1.5-32b-tp2",
            ("--gpu", "0", "--gpu", "1"),
            200,
            "vllm-tp2",
            (("replay", 170), ("traffic", 110), ("quick", 120)),
        ),
    ],
    "h100-pair-third": [
        Job(
            "qwen1.5-32b",
            "h100-sxm/qwen1.5-32b-tp2-second",
            ("--gpu", "0", "--gpu", "1"),
            200,
            "vllm-tp2",
            (("traffic", 110), ("replay", 190), ("quick", 120)),
        ),
    ],
    "h100-fifth": [
        Job(
            "llama-3.1-8b",
            "h100-sxm/llama-3.1-8b-fifth",
            parts=(("traffic", 115), ("replay", 130), ("quick", 110), ("full", 950)),
        ),
    ],
    "h100-sixth": [
        Job("qwen1.5-moe-a2.7b", "h100-sxm/qwen1.5-moe-a2.7b"),
    ],
    "h100-sixth-qwen3": [
        Job("qwen3-30b-a3b", "h100-sxm/qwen3-30b-a3b"),
    ],
    "h100-sixth-gemma": [
        Job("gemma-2-9b", "h100-sxm/gemma-2-9b"),
    ],
    "h100-sixth-qwen2.5": [
        Job("qwen2.5-7b", "h100-sxm/qwen2.5-7b"),
    ],
    "h200-sixth-qwen2.5": [
        Job(
            "qwen2.5-7b",
            "h200-sxm/qwen2.5-7b",
            parts=(("replay", 90), ("quick", 110), ("traffic", 100)),
        ),
    ],
    "h200-third": [
        Job(
            "qwen1.5-32b",
            "h200-sxm/qwen1.5-32b-second",
            requests=200,
            parts=(("quick", 130), ("replay", 175)),
        ),
    ],
}

"""Trace files made from seeds, usual and odd, with the truth about each of their rows.

The truth comes from Python integers and docs/traces.md. Where the docs leave a row open, it has
several outcomes and any will do; at most one row of a file is open.
"""

import gzip
import io
import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LONGEST = 2**31 - 1
INPUT_EDGES = tuple(2**m for m in range(4, 14))
OUTPUT_EDGES = (8, 16, 32, 64, 128, 256, 512)
EDGES = (0, *INPUT_EDGES, *OUTPUT_EDGES, LONGEST)
MISSING, NO_NUMBER, NEGATIVE = "missing", "not a number", "negative"
FRACTIONAL, OVER, MALFORMED = "fractional", "2^31 or more", "malformed row"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

NAMES = (
    ("input_tokens", "output_tokens"), ("ContextTokens", "GeneratedTokens"),
    ("Request tokens", "Response tokens"), ("input_length", "output_length"),
)  # fmt: skip
OTHER_NAMES = ("note", "Note", "größe", "", 'say "hi"', "a;b", "a,b", "arrival_s", "TIMESTAMP")
TAME = ("", "x", "7", "2023-11-16 18:17:03.97", "größe", "東京 🙂", "it's", "#", "\\", " a ")
WILD = (*TAME, "a,b;c|d\te", 'say "hi"', '"', "two\nlines", "\n\n", "1,2\n3,4", '"\n"')
NOTATIONS: tuple[Callable[[int], str], ...] = (
    str, str, str, "{}.0".format, "{}.".format, "+{}".format, "{:_}".format, " {} ".format,
    "00{}".format, "{}00E-2".format, lambda n: f"{n // 10}.{n % 10}e1",
)  # fmt: skip
JSON_NOTATIONS: tuple[Callable[[int], str], ...] = (
    str, str, str, "{}.0".format, "{}E+0".format, '"{}"'.format, '" +{}.0"'.format,
    lambda n: f"{n // 10}.{n % 10}e1",
)  # fmt: skip
# Open: which of two faults of one length wins, where infinity belongs, what rounding to a double
# does, and other notations, which the docs leave to DuckDB.
ODD_TEXTS = (
    *[("", (MISSING,))] * 4,
    *((text, (NO_NUMBER,)) for text in ("x", "true", "nan", "null", "--5", "é", "1,0", "1 2")),
    *((text, (OVER,)) for text in ("2147483649", "1e400", "1e60", "9" * 40)),
    ("-1", (NEGATIVE,)), ("-1e400", (NEGATIVE,)), ("1.5", (FRACTIONAL,)), ("1e-5", (FRACTIONAL,)),
    ("-0", (0,)), ("-1.5", (NEGATIVE, FRACTIONAL)), ("2147483648.5", (OVER, FRACTIONAL)),
    ("inf", (OVER, NO_NUMBER)), ("-inf", (NEGATIVE, NO_NUMBER)), (" ", (MISSING, NO_NUMBER)),
    ("0x10", (16, NO_NUMBER)), ("+-5", (NEGATIVE, NO_NUMBER)), ("1e-400", (0, FRACTIONAL)),
)  # fmt: skip
ODD_JSON = (
    *((text, (MISSING,)) for text in (None, "null")),  # None: the key is left out
    *((text, (NO_NUMBER,)) for text in ("true", "false", "[5]", "[]", "{}", '{"a": 5}')),
    *((text, (OVER,)) for text in ("2147483649", "1e60", "1e400", "9" * 40)),
    ("-1", (NEGATIVE,)), ("1.5", (FRACTIONAL,)), ("-0.0", (0,)), ("1E-5", (FRACTIONAL,)),
    *((json.dumps(text), outcomes) for text, outcomes in ODD_TEXTS),
)  # fmt: skip
ODD_NUMBERS = (
    -1, -2.5, 1.5, LONGEST + 1, 2.0**32, 1e30, math.nan, math.inf, -math.inf, Decimal("1.5"),
    Decimal(-3), Decimal(10**15),
)  # fmt: skip
ALIASES = "string large_string int8 int16 int32 int64 uint8 uint16 uint32 uint64 float double"
PARQUET_TYPES = (pa.decimal128(20, 3), *map(pa.type_for_alias, ALIASES.split()))

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "zstd": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}
Lengths = tuple[int | str, ...]
Outcome = tuple[int, int] | str | None  # a request, the reason why it is none, or no row at all


@dataclass(frozen=True)
class Row:
    """What stands in a file (text, or Parquet values), and what may come of it."""

    written: Any
    outcomes: tuple[Outcome, ...]
    refusable: bool = False  # the whole file may be refused for it
    line: int = 0


@dataclass(frozen=True)
class File:
    """A generated file; rows of None say that the truth is not known."""

    kind: str
    content: bytes
    rows: list[Row] | None
    refusal: str = "never"  # or "may", "must": whether it is an error either way


class Dice(random.Random):
    """The chances of one file: how many rows it has, and how many of them are odd."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.odd_rate = self.choice((0, 0, 0.01, 0.2))
        self.count = self.choices((0, 1, self.randint(2, 40), 5000), (1, 3, 93, 3))[0]

    def rows(self, draw: Callable[[], Row]) -> list[Row]:
        """The rows of a file, at most one of them with several outcomes."""
        rows: list[Row] = []
        opened = False
        while len(rows) < self.count:
            row = draw()
            if len(row.outcomes) == 1 or not opened:
                opened = opened or len(row.outcomes) > 1
                rows.append(row)
        return rows

    def whole_number(self) -> int:
        """A valid length, often near an edge of the grid."""
        near = min(LONGEST, max(0, self.choice(EDGES) + self.randint(-1, 1)))
        return self.choice((near, *(self.randint(0, most) for most in (40, 3000, LONGEST))))

    def length(self, notations: Sequence[Callable[[int], str]], odd: Sequence[Any]) -> Any:
        """A length as it is written, and what may come of it."""
        if self.random() < self.odd_rate:
            return self.choice(odd)
        number = self.whole_number()
        return self.choice(notations)(number), (number,)

    def other_names(self, names: Sequence[str]) -> list[str]:
        """Names of further columns, some like the wanted ones but for case."""
        return self.sample([*OTHER_NAMES, *map(str.swapcase, names)], self.randint(0, 4))


def outcomes_of(inputs: Lengths, outputs: Lengths) -> tuple[Outcome, ...]:
    """A row counts under the first fault of its input, else of its output."""
    pairs = itertools.product(inputs, outputs)
    found = (i if isinstance(i, str) else o if isinstance(o, str) else (i, o) for i, o in pairs)
    return tuple(dict.fromkeys(found))


def csv_file(dice: Dice, names: Sequence[str]) -> File:
    """A CSV file in some dialect."""
    delimiter, line_end = dice.choice(",;\t|"), dice.choice(("\n", "\r\n"))
    quote_rate, texts = dice.choice((0, 0.3)), dice.choice((TAME, WILD))
    others = dice.other_names(names)
    header = [*names, *others, *others[: dice.randint(0, 1)]]
    dice.shuffle(header)
    places = [header.index(name) for name in names]

    def quoted(text: str) -> str:
        if dice.random() < quote_rate or any(mark in text for mark in (delimiter, '"', "\n")):
            return '"' + text.replace('"', '""').replace("\n", line_end) + '"'
        return text

    def row() -> Row:
        fields = [quoted(dice.choice(texts)) for _ in header]
        (i, inputs), (o, outputs) = (dice.length(NOTATIONS, ODD_TEXTS) for _ in names)
        fields[places[0]], fields[places[1]] = quoted(i), quoted(o)
        good = Row(delimiter.join(fields), outcomes_of(inputs, outputs))
        odd = dice.random() < dice.odd_rate
        return odd_csv_row(dice, good, fields, places, delimiter) if odd else good

    blank = [Row("", (None,))] * dice.choice((0, 0, 0, 1, 2))
    rows = [*blank, Row(delimiter.join(map(quoted, header)), (None,)), *dice.rows(row)]
    k = dice.randrange(len(rows))
    swallows = len(blank) < k < len(rows) - 1 and rows[k + 1].written.strip()
    if swallows and not any('"' in row.written for row in rows) and dice.random() < 0.05:
        rows[k] = Row('"' + rows[k].written, (MALFORMED,))
        return replace(text_file(dice, "csv", rows, line_end), refusal="must")
    return text_file(dice, "csv", rows, line_end)


def odd_csv_row(dice: Dice, good: Row, fields: list[str], places: list[int], delimiter: str) -> Row:
    """A row with a fault that is not a length's."""

    def altered(place: int, text: str) -> str:
        return delimiter.join((*fields[:place], text, *fields[place + 1 :]))

    text, outcomes = good.written, good.outcomes
    short = delimiter.join(fields[: dice.randrange(1, len(fields))])
    # With a quoted line break in it, such a row may pass for rows that a stray quote swallowed.
    malformed = Row(text, (MALFORMED,), refusable="\n" in text)
    candidates = [
        Row("", (None,)),
        Row("  ", (None, MALFORMED)),  # a blank line, or a row with one field
        Row(text + delimiter * dice.randint(1, 3), outcomes),  # "empty fields more are let pass"
        replace(malformed, written=text + delimiter * 2 + "7"),
        replace(malformed, written=short if short.strip() else "7"),
        replace(malformed, written=altered(dice.choice(places), "\udcff7")),
    ]
    if spare := [place for place in range(len(fields)) if place not in places]:
        candidates += [
            Row(altered(spare[0], "caf\udce9"), outcomes),  # only wanted fields need be UTF-8
            Row(altered(spare[0], 'a"b'), (*outcomes, MALFORMED), refusable=True),  # open
        ]
    if not text.startswith('"') and dice.random() < 0.02:
        return replace(malformed, written=" " * 2_200_000 + text, refusable=True)
    return dice.choice(candidates)


def json_file(dice: Dice, names: Sequence[str]) -> File:
    """JSON lines, some blank, broken or no object; or a JSON array."""
    array = dice.random() < 0.5

    def row() -> Row:
        written = [(name, *dice.length(JSON_NOTATIONS, ODD_JSON)) for name in names]
        pairs = [(name, value) for name, value, _ in written if value is not None]
        for name in dice.other_names(names):
            extra = dice.choice((dice.choice(WILD), 5, None, True, [1, {"a": 2}], {names[0]: 7}))
            pairs.append((name, json.dumps(extra, ensure_ascii=dice.random() < 0.5)))
        dice.shuffle(pairs)
        comma = dice.choice((",", ", ", " , "))
        text = "{" + comma.join(f"{json.dumps(name)}: {value}" for name, value in pairs) + "}"
        good = Row(text, outcomes_of(*(outcomes for _, _, outcomes in written)))
        if dice.random() >= dice.odd_rate:
            return good
        no_object = Row(dice.choice(("[1, 2]", "5", '"x"', "null")), (MISSING,), refusable=array)
        broken = dice.choice((text[: dice.randrange(1, len(text))], f"{text} x"))
        lines = (Row("", (None,)), Row("  ", (None, MISSING)), Row(broken, (MISSING,)))
        return dice.choice((no_object, *(() if array else lines)))

    rows = dice.rows(row)
    # Open: elements that are no objects, where columns are looked for, and byte order marks.
    head = rows[:1] if array else rows[:100]
    keyed = any(isinstance(row.outcomes[0], tuple) for row in head)
    starts = "".join(row.written for row in rows).lstrip().startswith("{")
    if array:
        comma = dice.choice((",", ", ", ",\n", "\n,\r\n  "))
        text = f"[{comma.join(row.written for row in rows)}]"
        if dice.random() < 0.05:
            return File("json array", text[: dice.randrange(len(text))].encode(), rows, "must")
        file = File("json array", text.encode(), rows)
        keyed = keyed and not any(row.refusable for row in rows)
    else:
        file = text_file(dice, "json lines", rows, dice.choice(("\n", "\r\n")))
    sure = keyed and starts and not file.content.startswith(BYTE_ORDER_MARK)
    return replace(file, refusal="never" if sure else "may")


def text_file(dice: Dice, kind: str, rows: list[Row], line_end: str) -> File:
    """Rows as a file, each with the line on which it begins."""
    lines = itertools.accumulate((row.written.count("\n") + 1 for row in rows), initial=1)
    placed = [replace(row, line=line) for row, line in zip(rows, lines, strict=False)]
    text = line_end.join(row.written for row in rows) + dice.choice((line_end, line_end, ""))
    mark = BYTE_ORDER_MARK if dice.random() < 0.1 else b""
    refusal = "may" if any(row.refusable for row in rows) else "never"
    return File(kind, mark + text.encode("utf-8", "surrogateescape"), placed, refusal)


def parquet_length(dice: Dice, kind: pa.DataType) -> tuple[Any, Lengths]:
    """A value that a column of this type can hold; two faults at once, and infinity, are open."""
    if dice.random() < dice.odd_rate / 2:
        return None, (MISSING,)
    if kind in (pa.string(), pa.large_string()):
        return dice.length(NOTATIONS, ODD_TEXTS)
    while True:
        number = dice.choice(ODD_NUMBERS) if dice.random() < dice.odd_rate else dice.whole_number()
        try:
            number = float(number) if pa.types.is_floating(kind) else number
            number = pa.scalar(number, kind).as_py()
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            continue
        if math.isnan(number):
            return number, (NO_NUMBER,)
        if math.isinf(number):
            return number, (OVER if number > 0 else NEGATIVE, NO_NUMBER)
        checks = ((number < 0, NEGATIVE), (number > LONGEST, OVER), (number % 1 != 0, FRACTIONAL))
        return number, tuple(name for found, name in checks if found) or (int(number),)


def parquet_file(dice: Dice, names: Sequence[str]) -> File:
    """A Parquet file of some types, row groups and pages."""
    kinds = dice.choices(PARQUET_TYPES, k=2)

    def row() -> Row:
        (i, inputs), (o, outputs) = (parquet_length(dice, kind) for kind in kinds)
        return Row((i, o), outcomes_of(inputs, outputs))

    rows = dice.rows(row)
    columns = [(names[k], pa.array([r.written[k] for r in rows], kinds[k])) for k in (0, 1)]
    others = dice.other_names(names)
    for name in (*others, *others[: dice.randint(0, 1)]):
        extra = dice.choice(("text", None, 5, 2.5, [1, 2], {"a": 1}))
        columns.append((name, pa.array([extra] * len(rows))))
    dice.shuffle(columns)
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays([array for _, array in columns], [name for name, _ in columns]),
        sink,
        row_group_size=dice.choice((1, 7, 100_000)) if len(rows) < 100 else 2000,
        compression=dice.choice(("none", "snappy", "gzip", "zstd")),
        use_dictionary=dice.random() < 0.5,
        data_page_version=dice.choice(("1.0", "2.0")),
    )
    return File("parquet", sink.getvalue(), rows)


def packed(dice: Dice, file: File) -> File:
    """The file as it is, or with gzip or zstd in one piece or two; at times damaged."""
    packer = dice.choice((None, None, "gzip", "zstd"))
    content, parts = file.content, 1
    if packer:
        cut = dice.randrange(len(content) + 1) if dice.random() < 0.2 else 0
        pieces = [piece for piece in (content[:cut], content[cut:]) if piece]
        content, parts = b"".join(map(PACKERS[packer], pieces)), len(pieces)
        # The docs offer no packed Parquet and do not forbid it.
        refusal = "may" if file.kind == "parquet" and file.refusal == "never" else file.refusal
        file = replace(file, content=content, refusal=refusal)
    if parts != 1 or not (packer or file.kind == "parquet") or dice.random() < 0.9:
        return file
    if dice.random() < 0.5:
        return replace(file, content=content[: dice.randrange(len(content))], refusal="must")
    place = dice.randrange(len(content))
    turned = bytes([content[place] ^ 1 << dice.randrange(8)])
    damaged = content[:place] + turned + content[place + 1 :]
    # Only gzip has a checksum here, and a flip in its header may go unseen.
    known = packer == "gzip" and file.refusal != "must"
    return replace(file, content=damaged, rows=file.rows if known else None, refusal="may")


def mutated(dice: Dice, file: File) -> File:
    """The file after some random edits, its truth unknown."""
    content = file.content
    for _ in range(dice.randint(1, 8)):
        start = dice.randrange(len(content) + 1)
        end = start + dice.choice((1, 1, 3, 40))
        junk = dice.choice((b'"', b"\n", b"\r", b",", b"{", b"]", b"\\", b"\0", dice.randbytes(3)))
        middle = dice.choice((b"", junk, content[start:end] * 2))
        content = content[:start] + middle + content[dice.choice((start, end)) :]
    return File("mutated", content, None, "may")


def generate(seed: int) -> list[File]:
    """The files of one seed: one, or a few that a glob holds together."""
    choice = random.Random(seed)
    names, files = choice.choice(NAMES), []
    for k in range(choice.choice((1, 1, 1, 1, 2, 3))):
        dice = Dice(f"{seed}/{k}")
        file = dice.choice((csv_file, csv_file, json_file, json_file, parquet_file))(dice, names)
        if dice.random() < 0.15:
            file = mutated(dice, file)
        file = packed(dice, file) if file.content else file
        files.append(mutated(dice, file) if dice.random() < 0.05 else file)
    return files

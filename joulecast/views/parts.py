"""Pieces that every view is made of.

They are drawn for the terminal at hand: in letters that its encoding has, and as wide as it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.box import Box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from joulecast.traces.grid import Grid
from joulecast.traces.printable import printable

if TYPE_CHECKING:
    from joulecast.measurements.table.table import EnergyTable

_RULE = "─"
_STAND_INS = {_RULE: "-", "█": "#", "▓": "=", "░": "-", "±": "+-"}
"""Letters that views are drawn with -> what takes their places in an encoding without them."""

_LEAST_TEXT = 12
_LONGEST_WORD = 20
"""Columns of texts are folded before their table falls apart: to so many letters, or to their
longest words unless these are longer than this."""
_LEAST_VALUE = 30
"""Values stand beside their names if there is so much room, or enough for the longest [letters]."""
_LONGEST_NAME = 34
_LEAST_BAR, _LONGEST_BAR = 24, 40
_AMPLE = 100_000


def encodable(text: str, encoding: str) -> str:
    """A text in letters that an encoding has."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable_letter(letter, encoding) for letter in text)
    return text


def _encodable_letter(letter: str, encoding: str) -> str:
    escaped = letter.encode(encoding, "backslashreplace").decode(encoding)
    return letter if escaped == letter else _STAND_INS.get(letter, escaped)


class Cell:
    """A text that is what it says: no markup, and nothing that could steer the terminal.

    Args:
        text: What it says; of several, each is a line.
        style: How it looks.
        is_whole: Whether its lines are never folded, such as numbers.
    """

    def __init__(self, text: str | Sequence[str], style: str = "", is_whole: bool = False) -> None:
        lines = [text] if isinstance(text, str) else text
        self.lines = tuple(map(printable, lines))
        self.style = style
        self.is_whole = is_whole

    def on_one_line(self, style: str = "") -> "Cell":
        """The same text on one line: the first, and in brackets what stands below it."""
        first, *others = self.lines
        return Cell(f"{first} ({' '.join(others)})" if others else first, style)

    def text_in(self, encoding: str) -> Text:
        """It in the letters that an encoding has."""
        return Text(encodable("\n".join(self.lines), encoding), self.style)

    def __bool__(self) -> bool:
        return any(self.lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text_in(options.encoding)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        word, line = Measurement.get(console, options, self.text_in(options.encoding))
        least = min(line, max(_LEAST_TEXT, min(word, _LONGEST_WORD)))
        return Measurement(line if self.is_whole else least, line)


@dataclass(frozen=True)
class Bar:
    """A bar of blocks, lighter from the low end of an interval to its high end.

    Attributes:
        low: Where the interval begins, as a share of the longest bar.
        value: The value.
        high: Where it ends; the same as the others if there is none.
    """

    low: float
    value: float
    high: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(_LONGEST_BAR, options.max_width)
        low, value, high = (round(width * share) for share in (self.low, self.value, self.high))
        yield Cell("█" * low + "▓" * (value - low) + "░" * (high - value) or "█")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_LEAST_BAR, _LONGEST_BAR)


class FactsTable(Table):
    """Names and values, one pair a line; in a narrow place, a value goes on below its name."""

    def __init__(self) -> None:
        super().__init__(box=None, show_header=False, pad_edge=False)
        self.add_column(style="bold", overflow="fold", max_width=_LONGEST_NAME)
        self.add_column(overflow="fold")
        self.is_hanging = False

    def has_room(self, console: Console, options: ConsoleOptions) -> bool:
        """Whether values fit beside their names."""
        ample = options.update(width=_AMPLE)
        names, values = (
            max((Measurement.get(console, ample, cell).maximum for cell in column.cells), default=0)
            for column in self.columns
        )
        room = options.max_width - min(names, _LONGEST_NAME) - 2
        return room >= min(values, _LEAST_VALUE)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.has_room(console, options) and not self.is_hanging:
            yield from super().__rich_console__(console, options)
            return
        for name, value in _rows(self.columns):
            yield from _hanging(name, value, console, options)


def _hanging(
    name: Cell, value: RenderableType, console: Console, options: ConsoleOptions
) -> Iterator[RenderableType]:
    """A name and its value, with all lines but the first indented."""
    encoding = options.encoding
    text = Text.assemble(name.text_in(encoding), ": " if name else "", style="bold")
    if isinstance(value, Cell):
        text = Text.assemble(text, value.on_one_line().text_in(encoding))
    first, *others = text.wrap(console, options.max_width - 2, overflow="fold")
    yield first
    yield from (Padding(line, (0, 0, 0, 2)) for line in others)
    if not isinstance(value, Cell):
        yield Padding(value, (0, 0, 0, 2))


class GridTable(Table):
    """A table with a rule below its head, and nothing else drawn.

    Where it is too wide for the terminal, every row becomes a list; of a matrix, some columns come
    below the others.
    """

    def __init__(
        self, heading: Cell | None = None, columns: Sequence[Column] = (), is_matrix: bool = False
    ) -> None:
        super().__init__(title_justify="left", pad_edge=False)
        self.columns = list(Table(*columns).columns)
        self.heading = heading
        self.is_matrix = is_matrix

    def add_column(self, header: RenderableType = "", *args: Any, **settings: Any) -> None:
        """Add a column; its cells are folded unless they are flush right or not to be wrapped."""
        is_whole = bool(settings.get("no_wrap")) or settings.get("justify") == "right"
        settings = {"overflow": "fold", **settings, "no_wrap": is_whole}
        super().add_column(Cell(str(header).split("\n"), is_whole=is_whole), *args, **settings)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Rich frames a table in ASCII, unless its box is said to be made for that.
        rule = encodable(_RULE, options.encoding)
        self.box = Box("    \n" * 2 + f" {2 * rule} \n" + "    \n" * 5, ascii=True)
        self.title = None if self.heading is None else self.heading.text_in(options.encoding)
        if _fits(self, console, options):
            yield from super().__rich_console__(console, options)
        elif self.is_matrix:
            yield from self._panels(console, options)
        else:
            yield from self._lists(console, options)

    def _panels(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The first column with as many others as there is room for, until all were there."""
        first, *others = self.columns
        heading = self.heading
        while others:
            count = len(others)
            while count > 1 and not _fits(_part([first, *others[:count]]), console, options):
                count -= 1
            yield _part([first, *others[:count]], heading)
            heading, others = None, others[count:]

    def _lists(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Every row as a list, below its first cell."""
        if self.heading is not None:
            yield self.heading
        names = _names(self.columns)
        rows = list(_rows(self.columns))
        lists = [_list(names[1:], row[1:]) for row in rows]
        narrower = options.update(width=options.max_width - 2)
        is_hanging = not all(facts.has_room(console, narrower) for facts in lists)
        for row, facts in zip(rows, lists, strict=True):
            if row[0]:
                yield ""
                yield row[0].on_one_line("bold")
            facts.is_hanging = is_hanging
            yield Padding(facts, (0, 0, 0, 2))
        yield ""


def _fits(table: GridTable, console: Console, options: ConsoleOptions) -> bool:
    ample = options.update(width=_AMPLE)
    return Measurement.get(console, ample, table).minimum <= options.max_width


def _part(columns: Sequence[Column], heading: Cell | None = None) -> GridTable:
    """A table of some of the columns of another."""
    table = GridTable(heading, [column.copy() for column in columns])
    for row in _rows(columns):
        table.add_row(*row)
    return table


def _list(names: Sequence[Cell], cells: Sequence[Any]) -> FactsTable:
    """Cells of a row that are not empty, with the names of their columns."""
    facts = FactsTable()
    for name, cell in zip(names, cells, strict=True):
        if cell:
            facts.add_row(name, cell.on_one_line() if isinstance(cell, Cell) else cell)
    return facts


def _rows(columns: Sequence[Column]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.cells for column in columns), strict=True)


def _names(columns: Sequence[Column]) -> list[Cell]:
    """Heads of columns on one line each.

    A group's name stands above its first column alone; a blank above another begins no group.
    """
    names, group = [], ""
    for column in columns:
        heading = column.header
        lines = heading.lines if isinstance(heading, Cell) else ("",)
        if len(lines) > 1:
            group = lines[0] or group
            lines = (group, *lines[1:])
        names.append(Cell(" ".join(lines).strip()))
    return names


def grid_table(title: str | None = None) -> GridTable:
    """A table with a rule below its head, and nothing else drawn."""
    return GridTable(None if title is None else Cell(title, "table.title"))


def facts_table(rows: Sequence[tuple[str, str]]) -> FactsTable:
    """Names and values, one pair a line."""
    table = FactsTable()
    for name, value in rows:
        add_row(table, name, value)
    return table


def title_text(text: str) -> Cell:
    """What stands above everything; its line ends are kept."""
    return Cell(text.split("\n"), "bold")


def notes_text(notes: Sequence[str]) -> RenderableType:
    """Remarks below a table."""
    return Group(*(Padding(Cell(note, "dim"), (0, 0, 0, 2)) for note in notes))


def add_row(table: Table, *cells: str | Sequence[str] | Bar) -> None:
    """Add a row of texts, of several lines each, or bars: names that people give are no markup."""
    made = []
    for column, cell in zip(table.columns, cells, strict=False):
        made.append(cell if isinstance(cell, Bar) else Cell(cell, is_whole=column.no_wrap))
    table.add_row(*made)


def table_text(table: "EnergyTable") -> str:
    """A table in a few words, with what is wrong with it."""
    made = ", made by hand" if table.metadata["measured_by"] == "hand" else ""
    return (
        f"{table.name} ({table.gpus_in_words}, {table.metadata['engine']} "
        f"{table.metadata['engine_version']}; {table.amount_text}{made})"
    )


def grid_matrix(title: str, grid: Grid, texts: Mapping[tuple[int, int], str]) -> GridTable:
    """A text per cell, "-" where there is none: inputs go down, outputs across."""
    view = GridTable(Cell(title, "table.title"), is_matrix=True)
    view.add_column("input\ntokens", justify="right")
    for output_edge in grid.output_edges:
        view.add_column(f"output\n{output_edge}", justify="right")
    for input_edge in grid.input_edges:
        cells = [texts.get((input_edge, output_edge), "-") for output_edge in grid.output_edges]
        add_row(view, str(input_edge), *cells)
    return view

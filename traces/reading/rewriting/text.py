"""Text as DuckDB takes it: UTF-8 without a byte order mark, all lines ending alike."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from joulecast.traces.reading.rewriting.faults import Fault
from joulecast.traces.reading.sniff import Look, open_bytes

BLOCK_BYTES = 1 << 16

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""That of UTF-16 is part of that of UTF-32, which comes first."""


@dataclass(frozen=True)
class Peek:
    """A first look at a file, as text.

    Attributes:
        look: Where it is, and its first bytes.
    """

    look: Look

    @cached_property
    def bom(self) -> bytes:
        """Its byte order mark; empty if it has none."""
        return next((bom for bom in _BOMS if self.look.head.startswith(bom)), b"")

    @cached_property
    def encoding(self) -> str:
        """By its byte order mark; without one, by where the zeros of its first letters stand."""
        if self.bom:
            return _BOMS[self.bom]
        first = self.look.head[:4]
        zeros = [k for k, byte in enumerate(first) if byte == 0]
        return "utf-16-le" if zeros == [1, 3] else "utf-16-be" if zeros == [0, 2] else "utf-8"

    @cached_property
    def head(self) -> bytes:
        """Its first text in UTF-8."""
        return _head_in_utf8(self.look.head.removeprefix(self.bom), self.encoding)

    @property
    def first(self) -> bytes:
        """Its first character that is no blank."""
        return self.head[:BLOCK_BYTES].lstrip()[:1]

    def longer_head(self, size: int) -> bytes:
        """As much of its text in UTF-8 as `size` bytes hold."""
        with open_bytes(self.look.path, self.look.compression) as stream:
            return _head_in_utf8(stream.read(size).removeprefix(self.bom), self.encoding)

    def open(self) -> IO[bytes]:
        """Its bytes, unpacked, after the byte order mark."""
        stream = open_bytes(self.look.path, self.look.compression)
        stream.read(len(self.bom))
        return stream


def _head_in_utf8(head: bytes, encoding: str) -> bytes:
    if encoding == "utf-8":
        return head
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    return text.encode("utf-8", "replace")


def utf8_blocks(peek: Peek) -> Iterator[bytes]:
    """The whole text in UTF-8, block by block.

    Raises:
        Fault: It is not in the encoding in which it begins.
    """
    with peek.open() as stream:
        if peek.encoding == "utf-8":
            while block := stream.read(BLOCK_BYTES):
                yield block
            return
        decoder = codecs.getincrementaldecoder(peek.encoding)("strict")
        done = 0
        try:
            while block := stream.read(BLOCK_BYTES):
                yield decoder.decode(block).encode()
                done += len(block)
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            name = peek.encoding[:6].upper()
            raise Fault(
                f"is {name} that breaks off or is damaged near byte {done + len(peek.bom)}; "
                "get the file again, or save it as UTF-8"
            ) from error


class Blocks:
    """Blocks of bytes as a file that gives them one by one, however much is asked for.

    Asked for nothing, as readers do to tell bytes from text, it gives nothing.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, size: int = -1, /) -> bytes:
        """The next block; empty after the last."""
        return next((block for block in self._blocks if block), b"") if size else b""


def with_equal_line_ends(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """CSV whose rows all end with a line feed; what stands within quotes stays as it is."""
    is_quoted, held = False, b""
    for block in blocks:
        text = held + block
        held = b"\r" if text.endswith(b"\r") else b""  # a line feed may follow
        parts = text[: len(text) - len(held)].split(b'"')
        for k in range(int(is_quoted), len(parts), 2):
            parts[k] = parts[k].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        is_quoted ^= len(parts) % 2 == 0
        yield b'"'.join(parts)
    yield b"\r" if held and is_quoted else held.replace(b"\r", b"\n")


def has_mixed_line_ends(peek: Peek) -> bool:
    """Whether rows at the head of a CSV file end in several ways, or at its end in another one."""
    head = peek.head.removesuffix(b"\r")
    kinds = _line_ends(b"".join(head.split(b'"')[::2]))
    if len(kinds) == 1 and peek.look.compression == "none" and not peek.look.is_whole:
        with peek.look.path.open("rb") as file:
            file.seek(-len(peek.look.head), io.SEEK_END)
            tail = file.read()
        if b'"' not in head and b'"' not in tail:
            kinds |= _line_ends(tail.removeprefix(b"\n"))
    return len(kinds) > 1


def _line_ends(text: bytes) -> set[bytes]:
    pairs = text.count(b"\r\n")
    counts = {
        b"\r\n": pairs,
        b"\n": text.count(b"\n") - pairs,
        b"\r": text.count(b"\r") - pairs,
    }
    return {end for end, count in counts.items() if count}

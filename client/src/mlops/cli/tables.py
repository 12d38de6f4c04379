"""Tables as `kubectl get` has them: words in columns, without lines.

rich takes 0.07 s to import, most of what a command may take; it draws what goes on for long.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple
from unicodedata import east_asian_width

import click

COLORS: Final = {
    "QUEUED": "yellow",
    "STARTING": "cyan",
    "RUNNING": "green",
    "STOPPING": "magenta",
    "COMPLETED": "blue",
    "FAILED": "red",
    "STOPPED": "bright_black",
    "ACTIVE": "green",
    "PAUSED": "yellow",
    "DRAINING": "magenta",
    "DRAINED": "yellow",
    "DELETING": "red",
    "READY": "green",
    "CORDONED": "yellow",
    "NOT_READY": "red",
    "ADMIN": "magenta",
}
GAP: Final = "  "
NARROWEST: Final = 8
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Column(NamedTuple):
    """A column's head; `shrinks` says that its cells may be cut where the line is too short."""

    head: str
    right: bool = False
    shrinks: bool = False


def width_of_terminal() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere and is not to be cut."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return None
    return shutil.get_terminal_size().columns


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    """The lines of a table no wider than `width`. Columns without any content are left out."""
    keep = [n for n in range(len(columns)) if not rows or any(row[n] for row in rows)]
    shown = [columns[n] for n in keep]
    cells = [[one_line(row[n]) for n in keep] for row in rows]
    widths = [
        max([len(column.head), *(wide(row[n]) for row in cells)]) for n, column in enumerate(shown)
    ]
    if width is not None:
        _shrink(shown, widths, width)
    head = click.style(_line([column.head for column in shown], shown, widths), bold=True)
    return [head, *(_line(row, shown, widths) for row in cells)]


def colored(word: str) -> str:
    """A status or a state in its color."""
    color = COLORS.get(word)
    return click.style(word, fg=color) if color else word


def one_line(text: str) -> str:
    """Without what would break the line or move the cursor: names and reasons come from others."""
    return "".join(char if char.isprintable() or char == "\x1b" else " " for char in text)


def plain(text: object) -> str:
    """A text of others, without any escape."""
    return "".join(char if char.isprintable() else " " for char in str(text))


def wide(text: str) -> int:
    """Columns that a text takes on the terminal."""
    bare = _ESCAPE.sub("", text)
    if bare.isascii():
        return len(bare)
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in bare)


def _shrink(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Cut the widest of the columns that may be cut, until all fit or are narrow."""
    over = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while over > 0:
        able = [n for n, each in enumerate(columns) if each.shrinks and widths[n] > NARROWEST]
        if not able:
            return
        widest = max(able, key=lambda n: widths[n])
        widths[widest] -= 1
        over -= 1


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    return GAP.join(
        _padded(_cut(cell, size), size, column.right)
        for cell, column, size in zip(cells, columns, widths, strict=True)
    ).rstrip()


def _cut(cell: str, size: int) -> str:
    if wide(cell) <= size or "\x1b" in cell:
        return cell
    kept, left = [], size - 1
    for char in cell:
        left -= wide(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept) + "…"


def _padded(cell: str, size: int, right: bool) -> str:
    space = " " * max(0, size - wide(cell))
    return space + cell if right else cell + space

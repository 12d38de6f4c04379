"""Small pieces of HTML for the console's pages; their style is in console.css."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deployments.models import EventType, Status
from mlops_platform.admin import markup
from mlops_platform.console.pages.occupants import Cell

register = template.Library()
TONES: dict[str, str] = {
    Status.QUEUED: "waiting",
    Status.STARTING: "busy",
    Status.RUNNING: "good",
    Status.STOPPING: "busy",
    Status.FAILED: "bad",
    Status.COMPLETED: "done",
    EventType.STARTED: "good",
    EventType.PREEMPTED: "bad",
    EventType.DRAINED: "bad",
    EventType.NOTICE: "waiting",
}
"""Of statuses and of events."""
NARROW = 100
"""The width of a bar, in its own units."""
PER_ROW, SQUARE = 8, 16
"""GPUs of a node in one row, and the width of each."""


@register.filter
def badge(text: str) -> SafeString:
    """The text says everything without the colour."""
    return markup.badge(text, TONES.get(text, "quiet"))


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    return markup.ago(moment)


@register.filter
def clock(moment: datetime | None) -> SafeString | str:
    """`2026-03-01 09:00:00 UTC`."""
    if moment is None:
        return markup.EMPTY
    at = moment.isoformat(timespec="seconds")
    return format_html('<time datetime="{}">{} UTC</time>', at, f"{moment:%Y-%m-%d %H:%M:%S}")


@register.simple_tag
def share(used: float, total: float) -> SafeString:
    """A bar, amber from 80 % and red from 95 % on; the figures stand beside it as text."""
    part = min(used / total, 1) if total else 0
    tone = "full" if part >= 0.95 else "high" if part >= 0.8 else "low"
    return _bar([(tone, part)])


@register.simple_tag
def parts(several: Sequence[tuple[str, float]]) -> SafeString:
    """A bar of several parts, each a tone and a share from 0 to 1."""
    return _bar(several)


def _bar(several: Sequence[tuple[str, float]]) -> SafeString:
    """An SVG, since the security policy allows no widths in style attributes."""
    rectangles: list[Any] = []
    left = 0.0
    for tone, part in several:
        width = NARROW * part
        x, wide = f"{left:.2f}", f"{width:.2f}"
        drawn = format_html('<rect class="{}" x="{}" width="{}" height="8"/>', tone, x, wide)
        rectangles.append(drawn)
        left += width
    return format_html(
        '<svg class="bar" viewBox="0 0 {} 8" preserveAspectRatio="none" aria-hidden="true">'
        "{}</svg>",
        NARROW,
        SafeString("".join(rectangles)),
    )


@register.simple_tag
def swatch(tone: str) -> SafeString:
    """The colour that an owner's cells have."""
    return format_html(
        '<svg class="swatch" viewBox="0 0 8 8" aria-hidden="true"><rect class="{}" width="8" '
        'height="8"/></svg>',
        tone,
    )


@register.simple_tag
def gpus(cells: Sequence[Cell], total: int) -> SafeString:
    """The GPUs of a node, each a square, in rows of PER_ROW; a title says whose each is."""
    drawn: list[Any] = []
    for cell in cells:
        squares = [_square(cell.tone, at) for at in range(cell.start, cell.start + cell.gpus)]
        title = f"{cell.gpus} {'GPU' if cell.gpus == 1 else 'GPUs'}: {cell.said}"
        group = "<g><title>{}</title>{}</g>"
        drawn.append(format_html(group, title, SafeString("".join(squares))))
    rows = -(-total // PER_ROW)
    said = "; ".join(f"{cell.gpus}: {cell.said}" for cell in cells)
    return format_html(
        '<svg class="gpus" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        PER_ROW * SQUARE,
        rows * SQUARE,
        f"{total} GPUs. {said}",
        SafeString("".join(drawn)),
    )


def _square(tone: str, at: int) -> SafeString:
    x, y = at % PER_ROW * SQUARE + 1, at // PER_ROW * SQUARE + 1
    wide = SQUARE - 2
    square = f'<rect class="{{}}" x="{x}" y="{y}" width="{wide}" height="{wide}"/>'
    return format_html(square, tone)

"""How full clusters were: drawn as lines, and said in words for those who do not see them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from scheduler.samples.reading import Moment, Span, shares_of

DAY = timedelta(days=1)
STEP_S = 900
STEPS = DAY // timedelta(seconds=STEP_S)
HEIGHT = 100


@dataclass(frozen=True)
class Curve:
    """Lines in a box STEPS wide and HEIGHT high, and their sentence."""

    share: str
    """Points of an SVG's polyline, as `waiting`, whose top is `most_waiting`."""
    waiting: str
    most_waiting: int
    said: str

    @property
    def box(self) -> str:
        return f"0 0 {STEPS} {HEIGHT}"


def curves_of(cluster_ids: Sequence[UUID]) -> dict[UUID, Curve]:
    """The last day of each, up to the end of the present step, so that the lines stay as they are
    within it; none of a cluster without samples. One query, none for no cluster."""
    if not cluster_ids:
        return {}
    end = datetime.fromtimestamp((time.time() // STEP_S + 1) * STEP_S, UTC)
    span = Span(end - DAY, end, STEP_S)
    return {key: _curve(moments, span) for key, moments in shares_of(cluster_ids, span).items()}


def _curve(moments: Sequence[Moment], span: Span) -> Curve:
    top = max(each.waiting for each in moments)
    mean = sum(each.share for each in moments) / len(moments)
    peak = max(moments, key=lambda each: each.share)
    said = (
        f"In the last 24 hours {mean:.0%} was allocated on average, at most {peak.share:.0%} "
        f"(at {peak.at:%H:%M} UTC); at most {top:.0f} waited."
    )
    return Curve(
        share=_points([(each, each.share) for each in moments], span),
        waiting=_points([(each, each.waiting / top if top else 0.0) for each in moments], span),
        most_waiting=round(top),
        said=said,
    )


def _points(values: Sequence[tuple[Moment, float]], span: Span) -> str:
    """`value` is from 0 to 1."""
    begin = span.since.timestamp()
    return " ".join(
        f"{(moment.at.timestamp() - begin) / span.step_s:.1f},{HEIGHT * (1 - value):.1f}"
        for moment, value in values
    )

"""How good earlier forecasts were, and what that says about the next one.

What is submitted later, and goes ahead, is in no future; nor are stops and new nodes. So forecasts
of one cluster err in one direction, which its own earlier ones show. Once enough of them are known,
p90 is scaled so that nine of ten of these would have been kept (split conformal prediction: Vovk et
al., 2005; Romano et al., NeurIPS 2019).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from statistics import median

ENOUGH = 30  # outcomes, before anything is corrected
LEAST_MS = 10_000  # shorter waits than this count as this long in a ratio
LARGEST = 20.0  # a factor


@dataclass(frozen=True, slots=True)
class Outcome:
    """One forecast, and how long the wait was in the end; all in ms from the forecast on. `raw_`
    is before the correction."""

    p50_ms: int
    raw_p90_ms: int | None
    p90_ms: int | None
    waited_ms: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A factor for the wait until p90. p50 stays the planner's own: scaled, its error grew."""

    p90: float = 1.0

    @classmethod
    def learned(cls, outcomes: Iterable[Outcome]) -> "Correction":
        ratios = [_ratio(each.waited_ms, each.raw_p90_ms or each.p50_ms) for each in outcomes]
        return cls(_quantile(ratios, 0.9)) if len(ratios) >= ENOUGH else NO_CORRECTION

    def of(self, p50_ms: int, p90_ms: int | None) -> int | None:
        """The wait until p90, corrected; never shorter than that until p50."""
        return None if p90_ms is None else max(round(p90_ms * self.p90), p50_ms)


NO_CORRECTION = Correction()


@dataclass(frozen=True, slots=True)
class Calibration:
    """How good the forecasts of a cluster were: how many, the share whose p90 was kept, and the
    median of the absolute error of p50, in seconds. None where there are none."""

    forecasts: int
    p90_kept: float | None
    median_error_s: float | None

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Calibration":
        known = list(outcomes)
        with_p90 = [each for each in known if each.p90_ms is not None]
        kept = sum(each.waited_ms <= (each.p90_ms or 0) + LEAST_MS // 10 for each in with_p90)
        errors = [abs(each.waited_ms - each.p50_ms) / 1000 for each in known]
        return cls(
            len(known),
            round(kept / len(with_p90), 4) if with_p90 else None,
            round(median(errors), 1) if errors else None,
        )


def _ratio(waited_ms: int, forecast_ms: int) -> float:
    ratio = max(waited_ms, LEAST_MS) / max(forecast_ms, LEAST_MS)
    return min(max(ratio, 1 / LARGEST), LARGEST)


def _quantile(values: list[float], share: float) -> float:
    """The smallest of the values that at least this share, of one more than there are, is below."""
    number = min(ceil(share * (len(values) + 1)), len(values))
    return sorted(values)[number - 1]

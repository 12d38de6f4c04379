"""How good earlier forecasts were, and what that says about the next one.

What is submitted later, and goes ahead, is in no future; nor are stops and new nodes. So forecasts
of one cluster err in one direction, which its own earlier ones show. Once enough of them are known,
each percentile is scaled so that it would have been kept as often as it says (split conformal
prediction: Vovk et al., 2005; Romano et al., NeurIPS 2019).
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
    are before the correction."""

    raw_p50_ms: int
    raw_p90_ms: int | None
    p50_ms: int
    p90_ms: int | None
    waited_ms: int


@dataclass(frozen=True, slots=True)
class Correction:
    """Factors for forecast waits."""

    p50: float = 1.0
    p90: float = 1.0

    @classmethod
    def learned(cls, outcomes: Iterable[Outcome]) -> "Correction":
        known = list(outcomes)
        if len(known) < ENOUGH:
            return NO_CORRECTION
        of_p50 = [_ratio(each.waited_ms, each.raw_p50_ms) for each in known]
        of_p90 = [_ratio(each.waited_ms, each.raw_p90_ms or each.raw_p50_ms) for each in known]
        return cls(_quantile(of_p50, 0.5), _quantile(of_p90, 0.9))

    def of(self, p50_ms: int, p90_ms: int | None) -> tuple[int, int | None]:
        """Both waits, corrected: the second is never the shorter one."""
        shown_p50 = round(p50_ms * self.p50)
        if p90_ms is None:
            return shown_p50, None
        shown_p90 = round(p90_ms * self.p90)
        return min(shown_p50, shown_p90), shown_p90


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

"""What earlier forecasts say about the next one."""

import pytest

from scheduler.forecast.calibration import (
    ENOUGH,
    NO_CORRECTION,
    Calibration,
    Correction,
    Outcome,
)

HOUR_MS = 3_600_000


def outcomes(count: int, factor: float) -> list[Outcome]:
    return [
        Outcome(each, 2 * each, 2 * each, round(each * factor))
        for each in (HOUR_MS * (1 + number % 7) for number in range(count))
    ]


def test_nothing_is_corrected_before_enough_is_known() -> None:
    assert Correction.learned(outcomes(ENOUGH - 1, 3)) == NO_CORRECTION
    assert Correction.learned(outcomes(ENOUGH, 3)) != NO_CORRECTION


@pytest.mark.parametrize("factor", [0.25, 1, 3])
def test_forecasts_are_scaled_by_how_long_the_waits_were(factor: float) -> None:
    correction = Correction.learned(outcomes(100, factor))
    assert correction.of(1, 2 * HOUR_MS) == pytest.approx(HOUR_MS * factor)


def test_forecasts_that_came_true_stay_as_they_are() -> None:
    exact = [Outcome(each, each, each, each) for each in range(HOUR_MS, 100 * HOUR_MS, HOUR_MS)]
    assert Correction.learned(exact).of(123_456, 234_567) == 234_567


def test_p90_is_kept_by_nine_of_ten_of_those_that_it_was_learned_from() -> None:
    known = [outcome for n in range(1, 101) for outcome in outcomes(1, n / 10)]
    p90_ms = Correction.learned(known).of(1, 2 * HOUR_MS)
    assert p90_ms is not None
    kept = sum(each.waited_ms <= p90_ms for each in known)
    assert 90 <= kept <= 92


def test_a_corrected_p90_is_never_before_p50() -> None:
    assert Correction(p90=0.25).of(100, 200) == 100
    assert Correction(p90=0.25).of(100, None) is None


def test_calibration_is_the_share_of_kept_p90_and_the_median_error() -> None:
    known = [*outcomes(9, 1), *outcomes(1, 3)]
    found = Calibration.of(known)
    assert (found.forecasts, found.p90_kept, found.median_error_s) == (10, 0.9, 0.0)
    assert Calibration.of([]) == Calibration(0, None, None)

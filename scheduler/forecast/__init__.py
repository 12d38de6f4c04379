"""When waiting workloads will start: the production planner, run forward.

run_times.py says how long workloads run, by their limits and by the cluster's history; future.py
plays one future; forecast.py plays some of them and reads off the median and the 90th percentile;
calibration.py corrects these by how good earlier forecasts were. Pure: no clock, no database.
"""

from scheduler.forecast.calibration import NO_CORRECTION, Calibration, Correction, Outcome
from scheduler.forecast.forecast import Basis, Budget, Eta, Forecast, forecast
from scheduler.forecast.run_times import Expected, History, Traits

__all__ = [
    "NO_CORRECTION",
    "Basis",
    "Budget",
    "Calibration",
    "Correction",
    "Eta",
    "Expected",
    "Forecast",
    "History",
    "Outcome",
    "Traits",
    "forecast",
]

"""Pictures of results, for the documentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from scheduler.simulator.pictures import require_matplotlib

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SHORTEST_H = 0.01


def draw_errors(errors_h: Mapping[str, Sequence[float]]) -> Path:
    """Cumulative distributions of absolute errors, in hours, by method; the same errors give the
    same picture."""
    require_matplotlib()
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "forecasts", "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 4), layout="constrained")
    axes = picture.subplots()
    for method, errors in errors_h.items():
        ordered = sorted(max(each, SHORTEST_H) for each in errors)
        shares = [100 * (at + 1) / len(ordered) for at in range(len(ordered))]
        axes.plot(ordered, shares, label=method, lw=1.4, drawstyle="steps-post")
    axes.set_xscale("log")
    axes.set_ylim(0, 100)
    axes.set_title("Errors of forecast starts", loc="left")
    axes.set_xlabel("absolute error of p50, hours, at most (logarithmic)")
    axes.set_ylabel("% of the forecasts")
    axes.legend(fontsize="small", frameon=False)
    path = IMAGES / "forecast-errors.svg"
    picture.savefig(path, metadata={"Date": None})
    return path

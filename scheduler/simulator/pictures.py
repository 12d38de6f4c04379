"""Pictures of a comparison of policies. Only this module imports matplotlib, on the first use."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.simulator.figures import ALL_CLASSES, Figures, waits_s
from scheduler.simulator.jobs import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("png", "svg")
NAMES = {"gpu": "GPU", "cpu_milli": "CPU", "ram_mib": "RAM"}
SHORTEST_S = 1.0  # the least wait on the logarithmic axis, which has no zero


class NoPicturesError(Exception):
    """matplotlib is not installed."""


def require_matplotlib() -> None:
    """Raise NoPicturesError if matplotlib is missing: at once, not after a long simulation."""
    try:
        import matplotlib as matplotlib
    except ImportError as error:
        raise NoPicturesError(
            "Pictures need matplotlib: pip install --requirement requirements-simulate.txt,"
            " or leave them out with --no-pictures."
        ) from error


def draw(results: Sequence[Result], every: Sequence[Figures], folder: Path) -> list[Path]:
    """Three pictures, each as PNG and SVG; returns their paths. Same results, same SVG."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its first run reports its fonts
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "simulate", "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib.figure import Figure

    paths = []
    for name, fill in (("utilisation", _utilisation), ("waiting", _waiting), ("waits", _waits)):
        picture = Figure(figsize=(9, 5), layout="constrained")
        fill(picture, results, every)
        for kind in KINDS:
            path = folder / f"{name}.{kind}"
            metadata = {"Date": None} if kind == "svg" else None
            picture.savefig(path, dpi=150, metadata=metadata)
            paths.append(path)
    return paths


def _utilisation(picture: Any, results: Sequence[Result], every: Sequence[Figures]) -> None:
    """Allocated shares over time: of GPUs, or of CPU or RAM in a cluster without GPUs."""
    axes = picture.subplots()
    for each in every:
        name = next(name for name in NAMES if name in each.utilisation)
        label = f"{each.policy}: {100 * each.utilisation[name]:.1f} %"
        axes.plot(_days(each), [100 * share for share in each.series[name]], label=label, lw=1)
        axes.set_ylabel(f"{NAMES[name]} allocated, %")
    axes.set_ylim(0, 105)
    _finish(axes, "Utilisation", "days since the first submit")


def _waiting(picture: Any, results: Sequence[Result], every: Sequence[Figures]) -> None:
    axes = picture.subplots()
    for each in every:
        axes.plot(_days(each), each.series["waiting"], label=each.policy, lw=1)
    axes.set_ylabel("jobs waiting")
    axes.set_ylim(bottom=0)
    _finish(axes, "Waiting", "days since the first submit")


def _waits(picture: Any, results: Sequence[Result], every: Sequence[Figures]) -> None:
    """Cumulative distributions of waits, one panel for each priority class."""
    names = [name for name in every[0].classes if name != ALL_CLASSES]
    panels = picture.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for result, each in zip(results, every, strict=True):
            waits = sorted(max(wait, SHORTEST_S) for wait in waits_s(result, name))
            shares = [100 * (at + 1) / len(waits) for at in range(len(waits))]
            axes.plot(waits, shares, label=each.policy, lw=1.2, drawstyle="steps-post")
        axes.set_xscale("log")
        axes.set_ylim(0, 100)
        _finish(axes, f"Waits of {name}", "seconds waited, at most (logarithmic)")
    panels[0].set_ylabel("% of the jobs")


def _days(each: Figures) -> list[float]:
    return [hours / 24 for hours in each.series["hours"]]


def _finish(axes: "Axes", title: str, x_label: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x_label)
    axes.legend(fontsize="small", frameon=False)

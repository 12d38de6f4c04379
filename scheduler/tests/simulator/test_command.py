"""`manage.py simulate`: its output and files, and one sentence for each mistake."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from mlops_platform.tests.equipment.plugin import REPOSITORY
from scheduler.simulator import pictures

CSV = """\
submit_s,run_s,cpu,priority,limit_s
0,10,4,LOW,10
4,3,4,HIGH,3
5,6,1,LOW,6
"""
BOTH = ["--policy", "best_effort", "--policy", "strict,fifo,never"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(CSV)
    return path


def simulate(trace: Path, *args: str, on: str = "pool:cpu=4") -> str:
    out = StringIO()
    call_command("simulate", str(trace), "--cluster", on, *args, stdout=out, stderr=StringIO())
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_table_has_a_row_per_policy_and_class(trace: Path) -> None:
    table = rows(simulate(trace, *BOTH))
    assert table[0] == ["3", "jobs."]
    by_class = {(row[0], row[1]): row[2:] for row in table if len(row) > 10}
    assert by_class["best_effort,gpu_weighted", "LOW"][:3] == ["2", "10", "s"]
    assert by_class["best_effort,gpu_weighted", "LOW"][-3:] == ["1", "0", "0"]
    assert by_class["strict,fifo,never", "HIGH"][:3] == ["1", "6", "s"]
    assert ("strict,fifo,never", "all") in by_class


def test_json_and_pictures_are_written(trace: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = simulate(trace, *BOTH, "--out", str(tmp_path / "out"))
    written = {path.name for path in (tmp_path / "out").iterdir()}
    kinds = {
        f"{name}.{kind}" for name in ("utilisation", "waiting", "waits") for kind in pictures.KINDS
    }
    assert written == {"result.json", "speed.json"} | kinds
    assert all(f"out/{name}" in text for name in written)
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert [each["policy"] for each in result["policies"]] == [
        "best_effort,gpu_weighted",
        "strict,fifo,never",
    ]
    assert result["policies"][0]["classes"]["LOW"]["preemptions"] == 1
    assert (tmp_path / "out/waits.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "out/waits.svg").read_text()


def test_the_same_request_gives_the_same_bytes(trace: Path, tmp_path: Path) -> None:
    """In two processes with different hash seeds."""
    request = ["--high-share", "0.5", "--seed", "7", "--no-pictures", "--cluster", "pool:cpu=4"]
    for name, seed in (("a", "1"), ("b", "2")):
        folder = str(tmp_path / name)
        subprocess.run(
            [sys.executable, "manage.py", "simulate", str(trace), *request, *BOTH, "--out", folder],
            check=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
        )
    a, b = ((tmp_path / name / "result.json").read_text() for name in "ab")
    assert a == b


def test_checked_gives_the_same_decisions(trace: Path) -> None:
    speed = slice(0, -1)  # the last column is the speed
    plain, judged = simulate(trace, *BOTH), simulate(trace, *BOTH, "--checked")
    assert [row[speed] for row in rows(plain)] == [row[speed] for row in rows(judged)]


def test_shares_and_limits_change_the_jobs(trace: Path) -> None:
    assert "2 jobs." in simulate(trace, "--limit", "2")
    assert " LOW " not in simulate(trace, "--high-share", "1", "--exact-limits")


@pytest.mark.parametrize(
    ("args", "on", "sentence"),
    [
        ([], "pool", "The cluster 'pool' is neither"),
        (["--policy", "easy"], "pool:cpu=4", "'easy' is no policy"),
        (["--limit", "0"], "pool:cpu=4", "'0' should be a whole number above zero"),
        (["--high-share", "2"], "pool:cpu=4", "'2' should be a number from 0 to 1"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(
    trace: Path, args: list[str], on: str, sentence: str
) -> None:
    with pytest.raises(CommandError) as caught:
        simulate(trace, *args, on=on)
    assert sentence in str(caught.value)


def test_a_missing_trace_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="The trace cannot be read"):
        simulate(tmp_path / "nothing.swf")


def test_a_priority_unknown_to_the_cluster_is_reported(trace: Path) -> None:
    trace.write_text(CSV.replace("HIGH", "URGENT"))
    with pytest.raises(CommandError, match="The trace has the priority 'URGENT'"):
        simulate(trace)


def test_a_missing_matplotlib_is_reported_at_once(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CommandError, match="Pictures need matplotlib: pip install"):
        simulate(trace, "--out", str(tmp_path / "out"))
    assert "wrote" in simulate(trace, "--out", str(tmp_path / "out"), "--no-pictures")


def test_only_pictures_load_matplotlib() -> None:
    code = (
        "import sys, django; django.setup(); import scheduler.management.commands.simulate;"
        "import mlops_platform.celery; sys.exit('matplotlib' in sys.modules)"
    )
    settings = {"DJANGO_SETTINGS_MODULE": "mlops_platform.settings"}
    run = [sys.executable, "-c", code]
    subprocess.run(run, check=True, cwd=REPOSITORY, env={**os.environ, **settings})

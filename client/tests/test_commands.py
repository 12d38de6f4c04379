"""Every command on a real platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.cli.main import MODULES
from tests.conftest import PASSWORD, Lab
from tests.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.django_db]
QUICK = ("--gpu", "1", "--simulate", "0.1", "train:1")


@pytest.fixture
def mlops(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    """A shell of ada, who is logged in and uses the cluster without nodes."""
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "profiles.json"))
    for name in ("MLOPS_URL", "MLOPS_TOKEN", "MLOPS_PROFILE", "MLOPS_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", open_lines(tmp_path, PASSWORD))
    terminal = Terminal(capsys)
    terminal("login", lab.url, "-u", "ada", "--password-stdin")
    terminal("use", lab.cluster)
    return terminal


def open_lines(folder: Path, *lines: str):
    path = folder / "stdin"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path.open()


def submitted(mlops: Terminal, *options: str) -> str:
    return mlops("run", "-d", *options).out.strip()


def test_every_command_has_help(capsys):
    terminal = Terminal(capsys)
    for name in MODULES:
        assert f"Usage: mlops {name}" in terminal(name, "--help").out


def test_who_is_logged_in_where(mlops, lab):
    shown = mlops("whoami").out
    assert "ada" in shown
    assert lab.url in shown
    assert f"{lab.organization}: ADMIN" in shown


def test_a_job_from_its_submit_to_its_end(mlops):
    job = submitted(mlops, "--name", "quick", *QUICK)
    assert mlops("wait", job, "--timeout", "60s").out == f"{job} quick COMPLETED\n"
    assert "COMPLETED" in mlops("show", job).out
    assert mlops("show", job, "-o", "json").json["id"] == job
    types = [event["type"] for event in mlops("events", job, "-o", "json").json]
    assert (types[0], types[-1]) == ("SUBMITTED", "COMPLETED")
    assert "no container runs" in mlops("logs", job).err
    assert "COMPLETED" in mlops("why", job).out


def test_run_wait_ends_as_the_job_does(mlops):
    called = mlops("run", "--wait", "--name", "waited", *QUICK)
    assert "waited: COMPLETED" in called.err
    late = ("--gpu", "1", "--simulate", "60", "--time-limit", "1s", "train:1")
    called = mlops("run", "--wait", "--name", "late", *late, code=1)
    assert "late: FAILED" in called.err


def test_ps_lists_what_has_not_ended(mlops):
    one, two = (submitted(mlops, "--name", f"listed-{n}", "--gpu", "0", "train:1") for n in (1, 2))
    table = mlops("ps").lines
    assert (
        table[0].split() == ["ID", "NAME", "OWNER", "STATUS", "AGE", "GPU"] or "REASON" in table[0]
    )
    assert {one[:13], two[:13]} <= {line.split()[0] for line in table}
    assert "\x1b" not in "".join(table)
    assert mlops("ps", "listed-*", "-o", "name").lines == [two, one]
    assert {row["name"] for row in mlops("ps", "listed-*", "-o", "json").json} == {
        "listed-1",
        "listed-2",
    }
    assert "image: train:1" in mlops("ps", "listed-1", "-o", "yaml").out
    assert "CLASS" in mlops("ps", "-o", "wide").lines[0]
    assert mlops("ps", "-u", "grace").out == ""
    mlops("stop", "listed-*")
    assert mlops("ps", "listed-*").out == ""
    mlops("wait", one, two, code=1)
    assert len(mlops("ps", "-a", "listed-*", "-o", "name").lines) == 2


def test_why_says_what_is_in_the_way_and_what_would_help(mlops):
    full = submitted(mlops, "--name", "full", "--gpu", "8", "train:1")
    mlops("wait", full, "--until", "RUNNING", "--timeout", "60s")
    waits = submitted(mlops, "--name", "waits", "--gpu", "4", "train:1")
    why = mlops("why", "waits").out
    assert "QUEUED" in why
    assert "full" in why
    assert f"mlops priority HIGH {waits}" in why
    assert mlops("queue", "-o", "json").json[0]["id"] == waits
    assert "waits" in mlops("queue").out
    assert "8 of 8" in mlops("top").out
    mlops("priority", "HIGH", "waits")
    mlops("wait", waits, "--until", "RUNNING", "--timeout", "60s")
    mlops("stop", waits, full)

"""What users do with jobs: every command on a running platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.cli.main import MODULES
from tests.conftest import Lab, as_user
from tests.terminal import Terminal, at_a_terminal

pytestmark = [pytest.mark.e2e, pytest.mark.django_db]
QUICK = ("--gpu", "1", "--simulate", "0.1", "train:1")
JOB = """
image: train:1
name: from-a-file
resources: {gpu: GPUS, cpu: 500m, ram: 2Gi}
simulated_runtime_s: 0.1
"""


def submitted(mlops: Terminal, *options: str) -> str:
    return mlops("run", "-d", *options).out.strip()


def running(mlops: Terminal, *options: str) -> str:
    job = submitted(mlops, *options)
    mlops("wait", job, "--until", "RUNNING", "--timeout", "60s")
    return job


def test_every_command_has_help(capsys):
    terminal = Terminal(capsys)
    listed = terminal("--help").out
    for name in MODULES:
        assert f"  {name} " in listed
        assert f"Usage: mlops {name}" in terminal(name, "--help").out


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
    assert "waited: COMPLETED" in mlops("run", "--wait", "--name", "waited", *QUICK).err
    late = ("--gpu", "1", "--simulate", "60", "--time-limit", "1s", "train:1")
    assert "late: FAILED" in mlops("run", "--wait", "--name", "late", *late, code=1).err


def test_a_submit_with_the_same_key_is_the_same_submit(mlops):
    first, second = (submitted(mlops, "--key", "nightly-7", *QUICK) for _ in range(2))
    assert first == second


def test_ps_lists_what_has_not_ended(mlops):
    one, two = (submitted(mlops, "--name", f"listed-{n}", "--gpu", "0", "train:1") for n in (1, 2))
    table = mlops("ps").lines
    assert table[0].split()[:6] == ["ID", "NAME", "OWNER", "STATUS", "AGE", "GPU"]
    assert {one[:13], two[:13]} <= {line.split()[0] for line in table}
    assert "\x1b" not in "".join(table)
    assert mlops("ps", "listed-*", "-o", "name").lines == [two, one]
    assert [row["id"] for row in mlops("ps", "listed-*", "-o", "json").json] == [two, one]
    assert "image: train:1" in mlops("ps", "listed-1", "-o", "yaml").out
    assert "CLASS" in mlops("ps", "-o", "wide").lines[0]
    assert mlops("ps", "-u", "grace").out == ""
    assert mlops("ps", "-s", "queued,running", "-m", "listed-1", "-o", "name").lines == [one]
    mlops("stop", "listed-*")
    assert mlops("ps", "listed-*").out == ""
    mlops("wait", one, two, code=1)
    assert len(mlops("ps", "-a", "listed-*", "-o", "name").lines) == 2


def test_why_says_what_is_in_the_way_and_what_would_help(mlops):
    full = running(mlops, "--name", "full", "--gpu", "8", "train:1")
    waits = submitted(mlops, "--name", "waits", "--gpu", "4", "train:1")
    why = mlops("why", "waits").out
    for said in (
        "QUEUED",
        "ALLOCATED TO",
        "full",
        "mlops priority HIGH waits",
        "evicts full of ada",
    ):
        assert said in why
    assert mlops("why", "waits", "-o", "json").json["id"] == waits
    assert mlops("queue", "-o", "json").json[0]["id"] == waits
    assert "waits" in mlops("queue").out
    assert "8 of 8" in mlops("top").out
    assert 1 in {cycle["started"] for cycle in mlops("cycles", "-o", "json").json}
    mlops("priority", "HIGH", "waits")
    mlops("wait", waits, "--until", "RUNNING", "--timeout", "60s")
    mlops("stop", waits, full)


def test_what_can_never_run_is_said_before_a_submit(mlops, tmp_path):
    fine, never = tmp_path / "fine.yaml", tmp_path / "never.yaml"
    fine.write_text(JOB.replace("GPUS", "1"))
    never.write_text(JOB.replace("GPUS", "99"))
    assert mlops("validate", str(fine)).out == f"{fine}: fine\n"
    assert "99 GPUs" in mlops("validate", str(fine), str(never), code=4).out
    assert "99 GPUs" in mlops("quote", "-f", str(never)).out
    assert mlops("quote", "-f", str(fine), "-o", "name").out == "STARTS_NOW\n"


def test_a_job_file_is_submitted_and_options_go_before_it(mlops, tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("GPUS", "1"))
    mlops("run", "--wait", "-f", str(path))
    shown = mlops("run", "-f", str(path), "--gpu", "0", "-e", "SEED=1", "-o", "json").json
    assert (shown["name"], shown["required_gpu"], shown["required_cpu"]) == ("from-a-file", 0, 0.5)
    assert shown["env_names"] == ["SEED"]


def test_arguments_behind_the_image_are_the_programs(mlops):
    job = submitted(mlops, *QUICK, "--", "python", "train.py", "--lr", "0.1")
    assert mlops("show", job, "-o", "json").json["args"] == ["python", "train.py", "--lr", "0.1"]


def test_a_job_is_changed_while_it_waits_and_run_again(mlops):
    job = submitted(mlops, "--name", "too-large", "--gpu", "64", "--simulate", "0.1", "train:1")
    mlops("change", "too-large", "--time-limit", "2h")
    assert mlops("show", job, "-o", "json").json["max_runtime_s"] == 7200
    mlops("change", "too-large", "--no-time-limit", "--gpu", "1", "-l", "team=vision")
    mlops("wait", job, "--timeout", "60s")
    again = mlops("rerun", "too-large", "--name", "once-more").out.strip()
    shown = mlops("show", again, "-o", "json").json
    assert shown["max_runtime_s"] is None
    assert (shown["name"], shown["rerun_of"], shown["labels"]) == (
        "once-more",
        job,
        {"team": "vision"},
    )


def test_names_beginnings_of_ids_and_patterns(mlops):
    idle = ("--gpu", "0", "train:1")
    first, second = (submitted(mlops, "--name", name, *idle) for name in ("pa", "pb"))
    assert mlops("show", first[:20], "-o", "name").out == f"{first}\n"
    twins = [submitted(mlops, "--name", "twin", *idle) for _ in range(2)]
    error = mlops("show", "twin", code=2).err
    assert "'twin' fits 2 deployments" in error
    assert all(twin in error for twin in twins)
    mlops("stop", twins[0])
    assert mlops("show", "twin", "-o", "name").out == f"{twins[1]}\n"
    assert len(mlops("stop", "?a", "pb", "twin").lines) == 3
    assert second in mlops("ps", "-a", "p*", "-o", "name").out
    assert "is called 'nothing'" in mlops("show", "nothing", code=3).err


def test_a_sweep_from_its_dry_run_to_its_end(mlops, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(JOB.replace("GPUS", "1") + "sweep: {name: lr, matrix: {lr: [0.1, 0.2]}}\n")
    assert "lr=0.2" in mlops("sweep", "run", str(path), "--dry-run").out
    sweep = mlops("run", "-f", str(path), "-o", "name").out.strip()
    assert "2 of 2 ended" in mlops("sweep", "wait", sweep).out
    assert "COMPLETED" in mlops("sweep", "show", "lr").out
    assert sweep[:13] in mlops("sweep", "ls").out
    assert len(mlops("ps", "--sweep", "lr", "-o", "name").lines) == 2
    mlops("sweep", "limit", "lr", "1")
    assert mlops("sweep", "stop", "lr").out == "0 members stopped\n"
    assert mlops("sweep", "retry", "lr").out == "0 members submitted again\n"


def test_events_of_the_organization(mlops):
    job = submitted(mlops, "--name", "eventful", *QUICK)
    mlops("wait", job, "--timeout", "60s")
    rows = mlops("events", "-n", "5000", "--type", "SUBMITTED", "-o", "json").json
    assert job in {row["deployment_id"] for row in rows}
    assert "eventful" in mlops("events").out


def test_a_person_is_asked_before_a_submit(mlops):
    submit = ("run", "--name", "asked", "--gpu", "1", "train:1")
    with at_a_terminal(*submit) as person:
        person.sees("It starts now.")
        person.sees("Submit it?")
        person.types("n\n")
        assert person.ends() == 1
    assert mlops("ps", "-a", "asked").out == ""
    with at_a_terminal(*submit) as person:
        person.sees("Submit it?")
        person.types("y\n")
        assert person.ends() == 0
    assert len(mlops("stop", "asked").lines) == 1


def test_ctrl_c_asks_whether_to_stop_the_job(mlops):
    with at_a_terminal(
        "run", "--yes", "--wait", "--name", "long", "--gpu", "1", "train:1"
    ) as person:
        person.sees("RUNNING")
        person.presses_ctrl_c()
        person.sees("[stop/leave/follow]")
        person.types("leave\n")
        assert person.ends() == 130
    assert mlops("ps", "long", "-o", "json").json[0]["status"] == "RUNNING"
    mlops("stop", "long")


def test_ps_is_colored_and_redrawn_on_a_terminal(mlops):
    job = running(mlops, "--name", "watched", "--gpu", "1", "train:1")
    with at_a_terminal("ps", "watched", "-w") as person:
        person.sees("watched")
        assert "\x1b[32m" in person.seen
        person.presses_ctrl_c()
        assert person.ends() == 0
    mlops("stop", job)


def test_what_is_not_allowed_is_refused(lab: Lab, mlops, tmp_path: Path, monkeypatch):
    job = submitted(mlops, "--name", "of-ada", "--gpu", "64", "train:1")
    as_user(lab.grace, lab.cluster, tmp_path / "grace.json", monkeypatch)
    assert mlops("why", "of-ada").code == 0
    assert "role" in mlops("cordon", "node-1", "-c", lab.nodes_cluster, code=4).err
    as_user(lab.ada, lab.cluster, tmp_path / "ada.json", monkeypatch)
    mlops("stop", job)

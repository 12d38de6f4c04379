"""Job files, and the words of options: what they mean, and what is said of faulty ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlops_platform import documents

from mlops import jobs
from mlops.cli import words
from mlops.cli.tables import Column, table, wide
from mlops.errors import JobFileError

WHOLE = """
image: registry.example.com/lab/train:1.2
cluster: gpu-east
command: [python, train.py]
resources: {gpu: 2, cpu: 500m, ram: 16Gi}
env: {EPOCHS: 10, MODE: fast}
secrets: {WANDB_API_KEY: wandb}
volumes: ["datasets:/data:ro", {name: out, path: /out}]
time_limit: 4h
retries: {max: 3, retry_on: [OUT_OF_MEMORY], ram_factor: 1.5}
labels: {team: vision}
"""


def job(folder: Path, text: str) -> jobs.Job:
    path = folder / "job.yaml"
    path.write_text(text)
    return jobs.read(path)


def test_the_fields_are_those_of_a_submit() -> None:
    submit = documents.openapi()["components"]["schemas"]["Submit"]["properties"]
    assert (
        set(submit) - {"quote", "confirm"} == jobs.FIELDS
    )  # these belong to one submit, not a job


def test_a_whole_job(tmp_path: Path) -> None:
    assert job(tmp_path, WHOLE) == jobs.Job(
        {
            "image": "registry.example.com/lab/train:1.2",
            "cluster_id": "gpu-east",
            "command": ["python", "train.py"],
            "required_gpu": 2,
            "required_cpu": "500m",
            "required_ram": "16Gi",
            "env": {"EPOCHS": "10", "MODE": "fast"},
            "secrets": [{"name": "wandb", "env": "WANDB_API_KEY"}],
            "volumes": [
                {"name": "datasets", "path": "/data", "read_only": True},
                {"name": "out", "path": "/out"},
            ],
            "max_runtime_s": 14400,
            "max_retries": 3,
            "retry_on": ["OUT_OF_MEMORY"],
            "retry_ram_factor": 1.5,
            "labels": {"team": "vision"},
        }
    )


def test_an_image_is_enough(tmp_path: Path) -> None:
    assert job(tmp_path, "image: train:1").body == {**jobs.DEFAULTS, "image": "train:1"}


def test_a_sweep_is_kept_beside_its_template(tmp_path: Path) -> None:
    found = job(tmp_path, "image: a\nsweep: {matrix: {lr: [0.1, 0.01]}, max_parallel: 2}")
    assert found.sweep == {"matrix": {"lr": [0.1, 0.01]}, "max_parallel": 2}
    assert "sweep" not in found.body


def test_a_command_of_one_text_is_one_of_the_shell(tmp_path: Path) -> None:
    found = job(tmp_path, "image: a\ncommand: python a.py && python b.py")
    assert found.body["command"] == ["sh", "-c", "python a.py && python b.py"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "job.yaml: A job file has to be a mapping"),
        ("- image: a", "has to be a mapping"),
        ("cluster: a", "image is missing"),
        ("image: a\nresources: {gpus: 2}", "'gpus' is no field of resources. Did you mean 'gpu'?"),
        ("image: a\nimagee: b", "'imagee' is no field. Did you mean 'image'?"),
        ("image: a\nresources: 2", "resources has to be a mapping"),
        ("image: a\nenv: [A]", "env has to be a mapping"),
        ("image: a\nenv: {A: true}", "env.A: write 'true' in quotes"),
        ("image: a\nenv: {A: [1]}", "env.A has to be a text"),
        ("image: a\nvolumes: data", "volumes has to be a list"),
        ("image: a\nvolumes: [data]", "'data' is not NAME:PATH"),
        ("image: a\nvolumes: ['data:/data:xx']", "is not NAME:PATH"),
        ("image: a\ntime_limit: long", "'long' is not a number with s, m, h or d"),
        ("image: a\nsweep: {matrx: {}}", "'matrx' is no field of sweep. Did you mean 'matrix'?"),
        ("image: [a", "job.yaml, line 1: this is no YAML"),
        ("\x00", "this is no YAML"),
    ],
)
def test_a_fault_is_named_with_its_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(JobFileError) as caught:
        job(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"nothing\.yaml: No such file"):
        jobs.read(tmp_path / "nothing.yaml")


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    with pytest.raises(JobFileError):
        job(tmp_path, "image: !!python/object/apply:os.system [exit]")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("45s", 45), ("15m", 900), ("2h30m", 9000), ("1d", 86400)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert words.seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1x", "-1", "1 h", "1h x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        words.seconds_in(text)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (words.duration(0), "0s"),
        (words.duration(190), "3m10s"),
        (words.duration(7200), "2h"),
        (words.duration(90061), "1d1h"),
        (words.memory(0), "0"),
        (words.memory(512), "512Mi"),
        (words.memory(16384), "16Gi"),
        (words.memory(1572864), "1.5Ti"),
        (words.exact_memory(16385), "16385Mi"),
        (words.cores(0.5), "0.5"),
    ],
)
def test_amounts_are_shown_shortly(shown: str, text: str) -> None:
    assert shown == text


ROWS = [["1", "a-long-name-of-a-job", "waits for a very long time"], ["22", "b", ""]]
COLUMNS = [Column("N", right=True), Column("NAME", shrinks=True), Column("WHY", shrinks=True)]


def bare(line: str) -> str:
    return line.removeprefix("\x1b[1m").removesuffix("\x1b[0m")


def test_a_table_has_words_in_columns() -> None:
    head, first, second = table(COLUMNS, ROWS)
    assert bare(head).split() == ["N", "NAME", "WHY"]
    assert first == " 1  a-long-name-of-a-job  waits for a very long time"
    assert second == "22  b"


@pytest.mark.parametrize("width", [22, 30, 40, 80])
def test_a_table_is_cut_to_the_terminal(width: int) -> None:
    assert all(wide(bare(line)) <= width for line in table(COLUMNS, ROWS, width))
    assert ("…" in table(COLUMNS, ROWS, width)[1]) == (width < 53)


def test_a_column_without_content_is_left_out() -> None:
    assert bare(table(COLUMNS, [["1", "a", ""]])[0]).split() == ["N", "NAME"]


def test_wide_letters_take_two_columns() -> None:
    columns = [Column("A", shrinks=True), Column("B")]
    lines = table(columns, [["訓練訓練訓練", "x"], ["ab", "x"]], 12)
    assert [wide(line) for line in lines[1:]] == [12, 12]
    assert "…" in lines[1]


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\nb", "a\rb", "a\x07b"])
def test_a_name_moves_no_cursor(text: str) -> None:
    from mlops.cli.tables import plain

    assert plain(text).isprintable()

"""The parsers of traces, clusters and policies, and their errors."""

import gzip
from pathlib import Path

import pytest

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Policy
from scheduler.simulator import Job, SpecError, TraceError, cluster_spec, policies, traces

SWF = """\
; MaxProcs: 128
   1   0  5  100    4  90.5    -1    8  200    -1  1 153  75 18180  3 -1 -1 -1
   2  10  5  300    4  90      -1   -1  200    -1  1 153  75 18180  3 -1 -1 -1
   3  20  5   -1   -1  -1      -1    8  200    -1  5 153  75 18180  3 -1 -1 -1
   4  30  5  100    4  90      -1    8   -1    -1  1 153  75 18180  3 -1 -1 -1

   5   5  5    1    1  1       -1    1    1    -1  1  -1  75 18180  3 -1 -1 -1
"""
CSV = """\
submit_s,run_s,replicas,cpu,ram,gpu,priority,limit_s,user
0, 10.5, 2, 0.5, 1024, 1, HIGH, 7.2, ann

3,20,,4,,,,,
1,0,1,1,0,0,LOW,,ben
"""
PHILLY = """\
timestamp,duration,num_gpus,gpu_time,cluster
2017-01-01 00:01:00,66.0,1,66.0,11cb48
2017-01-01 00:00:00,10,12,120,11cb48
2017-01-01 00:02:00,10,128,1280,11cb48
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace"
    path.write_text(text)
    return path


def test_swf_rows_become_jobs(tmp_path: Path) -> None:
    """Requested processors before allocated ones; no job longer than requested; sorted by
    submit."""
    trace = traces.read(write(tmp_path, SWF))
    core = Resources(1000)
    assert trace.jobs == [
        Job(0, 100_000, core, 8, limit_s=200, user="153"),
        Job(5_000, 1_000, core, 1, limit_s=1),
        Job(10_000, 200_000, core, 4, limit_s=200, user="153"),
    ]
    assert trace.dropped == {"did not run": 1, "promised no end": 1}


def test_csv_rows_become_jobs(tmp_path: Path) -> None:
    trace = traces.read(write(tmp_path, CSV))
    assert trace.jobs == [
        Job(0, 8_000, Resources(500, 1024, 1), 2, "HIGH", 8, "ann"),
        Job(3_000, 20_000, Resources(4000)),
    ]
    assert trace.dropped == {"did not run": 1}


def test_philly_rows_become_jobs(tmp_path: Path) -> None:
    """Jobs of more than 8 GPUs have as few equal replicas as fit on nodes of 8."""
    trace = traces.read(write(tmp_path, PHILLY))
    one = Resources(6000, 61440, 1)
    assert [(job.request, job.replicas) for job in trace.jobs] == [
        (one.times(6), 2),
        (one, 1),
        (one.times(8), 16),
    ]
    first, second, _ = trace.jobs
    assert (second.submit_ms - first.submit_ms, second.run_ms) == (60_000, 66_000)


def test_a_gzipped_trace_is_detected_by_its_contents(tmp_path: Path) -> None:
    plain, zipped = write(tmp_path, SWF), tmp_path / "zipped"
    zipped.write_bytes(gzip.compress(SWF.encode()))
    assert traces.read(plain).jobs == traces.read(zipped).jobs
    assert len(traces.read(zipped, limit=2).jobs) == 2


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "there is nothing in it"),
        ("\n\n", 1, "there is nothing in it"),
        (SWF + "6 0 5 100\n", 8, "4 fields, where SWF has 18"),
        (SWF.replace(" 300 ", " 3x0 "), 3, "a field is no number"),
        (SWF.replace(" 300 ", " nan "), 3, "a field is no number"),
        (SWF.replace(" 300 ", " inf "), 3, "a field is no number"),
        (SWF.replace("  200  ", "  -1  ").replace("    1    1  ", "   -1    1  "), 1, "no job in"),
        (CSV.replace("gpu,", "tpu,"), 1, "no column is named 'tpu'"),
        (CSV.replace("run_s,", "cpu,"), 1, "the column run_s is missing"),
        (CSV.replace("ram,", "cpu,"), 1, "a column is there twice"),
        (CSV + "1,2,3\n", 6, "3 cells below 9 columns"),
        (CSV.replace("20,,4", "-20,,4"), 4, "run_s is '-20'"),
        (CSV.replace("20,,4", "nan,,4"), 4, "run_s is 'nan'"),
        (CSV.replace("20,,4", "1e999,,4"), 4, "run_s is '1e999'"),
        (CSV.replace("20,,4", "20,0,4"), 4, "replicas is '0'"),
        (CSV.replace("20,,4", "20,,0"), 4, "it asks for nothing"),
        (CSV.replace("1024, 1", "1024, 1.5"), 2, "gpu is '1.5'"),
        (CSV.replace("7.2", "0"), 2, "limit_s is 0"),
        (PHILLY.replace("2017-01-01 00:00", "yesterday"), 3, "Invalid isoformat string"),
        (PHILLY.replace(",12,", ",0,"), 3, "num_gpus is '0'"),
    ],
)
def test_a_faulty_trace_is_reported_with_the_line(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    with pytest.raises(TraceError) as caught:
        traces.read(write(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path}/trace, line {line}: ")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [gzip.compress(SWF.encode())[:-20], gzip.compress(SWF.encode())[:40] + b"\xff" * 40, b"\xff,1"],
    ids=["cut off", "damaged within", "no text"],
)
def test_a_damaged_file_is_reported(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data)
    with pytest.raises(TraceError, match="it cannot be read"):
        traces.read(path)


def test_a_share_with_a_seed_is_the_same_each_time() -> None:
    jobs = [Job(0, 1000, Resources(1000)) for _ in range(3000)]
    first, again, other = (traces.with_share(jobs, "HIGH", 0.3, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert 800 < sum(job.priority == "HIGH" for job in first) < 1000


# --- Clusters and policies ---------------------------------------------------------------------


def test_a_cluster_is_parsed_from_a_text() -> None:
    pool = cluster_spec.parse("pool:cpu=1.5,gpu=2")
    assert (pool.total, pool.nodes) == (Resources(1500, 0, 2), ())
    nodes = cluster_spec.parse("nodes=40,gpu=8,cpu=48,ram=491520")
    assert (len(nodes.nodes), nodes.total) == (40, Resources(1_920_000, 19_660_800, 320))


def test_a_cluster_is_parsed_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(
        '{"nodes": [{"count": 2, "gpu": 8, "cpu": 4}, {"cpu": 1, "labels": {"zone": "a"}}],'
        ' "classes": [{"name": "ONLY", "value": 1, "may_preempt": false, "preemptible": true}]}'
    )
    found = cluster_spec.parse(str(path))
    assert [node.labels for node in found.nodes] == [(), (), (("zone", "a"),)]
    assert found.total == Resources(9000, 0, 16)
    assert [each.name for each in found.classes] == ["ONLY"]


@pytest.mark.parametrize(
    "spec",
    [
        "pool",
        "pool:",
        "pool:cpu",
        "pool:cpu=x",
        "pool:tpu=4",
        "pool:cpu=-1",
        "pool:gpu=0",
        "nodes=0,cpu=4",
        "nodes=x,cpu=4",
        "128",
        "nowhere.json",
    ],
)
def test_a_faulty_cluster_is_refused(spec: str) -> None:
    with pytest.raises(SpecError, match=r"cluster"):
        cluster_spec.parse(spec)


@pytest.mark.parametrize(
    "text", ["{}", "[]", "7", "{", '{"nodes": 3}', '{"pool": {"cpu": 1}, "hosts": 1}']
)
def test_a_faulty_cluster_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(text)
    with pytest.raises(SpecError, match="cannot be understood"):
        cluster_spec.parse(str(path))


@pytest.mark.parametrize(
    ("text", "policy", "name"),
    [
        ("best_effort", Policy(), "best_effort,gpu_weighted"),
        ("strict,fifo", Policy("strict", "fifo"), "strict,fifo"),
        ("fair_share", Policy(ordering="fair_share"), "best_effort,fair_share"),
        (
            "easy_backfill, ordering=fifo,preemption=never,reserve_after_s=60",
            Policy("easy_backfill", "fifo", "never", reserve_after_s=60),
            "easy_backfill,fifo,never,reserve_after_s=60",
        ),
    ],
)
def test_a_policy_is_parsed_and_named(text: str, policy: Policy, name: str) -> None:
    assert policies.parse(text) == policy
    assert policies.name_of(policy) == name
    assert policies.parse(name) == policy


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("easy", "'easy' is no policy"),
        ("", "'' is no policy"),
        ("colour=red", "'colour=red' is no policy"),
        ("ordering=strict", "ordering is one of gpu_weighted, fifo, fair_share, not 'strict'."),
        ("max_preemptions=-1", "max_preemptions is a whole number, not '-1'."),
    ],
)
def test_a_faulty_policy_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        policies.parse(text)
    assert str(caught.value).startswith(sentence)

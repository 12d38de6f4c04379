"""The program that fetches buckets, against a real S3 server, with faults in between."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deployments.fetch.faults import Failed
from deployments.fetch.fetching import Fetching
from deployments.runtimes.fetches import DELAYED, FAILED
from deployments.tests.runtimes.s3 import (
    BUCKET,
    KEY,
    KEY_ID,
    S3,
    Faults,
    breaks_off,
    faulty,
    says,
    sends_all,
)


@pytest.fixture
def given(s3: S3, tmp_path: Path) -> dict[str, Any]:
    return {
        "volume": "sets",
        "endpoint": s3.url,
        "bucket": BUCKET,
        "prefix": "train",
        "region": "",
        "max_mib": 10,
        "judged": False,
        "access_key_id": KEY_ID,
        "secret_access_key": KEY,
        "to": str(tmp_path / "sets"),
    }


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def faults(s3: S3):
    with faulty(s3) as faults:
        yield faults


def fetch(*buckets: dict[str, Any], most_mib: int | None = None) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    Fetching(buckets, most_mib, reports.append).run()
    return reports


def files(given: dict[str, Any]) -> dict[str, int]:
    folder = Path(given["to"])
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


TRAIN = {"a.txt": 2, "deep/b.bin": 3_000_000}


def test_the_objects_below_the_prefix_become_files_with_their_folders(given):
    reports = fetch(given)
    assert files(given) == TRAIN
    assert Path(given["to"], "a.txt").read_text() == "a\n"
    assert reports[-1] == {"fetched_mib": 2, "total_mib": 3}
    assert (Path(given["to"], "deep/b.bin").stat().st_mode & 0o777) == 0o644


def test_without_a_prefix_all_of_the_bucket_is_fetched_and_several_buckets_one_after_another(
    given, s3, tmp_path
):
    s3.fill("more", {"x/": b"", "x/y": b"1", "empty": b""})
    whole = {**given, "prefix": ""}
    more = {**given, "prefix": "", "bucket": "more", "to": str(tmp_path / "more")}
    fetch(whole, more)
    assert files(whole) == {**{f"train/{name}": size for name, size in TRAIN.items()}, "other": 1}
    assert files(more) == {"x/y": 1, "empty": 0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bucket": "no-such-bucket"}, "s3://no-such-bucket/train/: NoSuchBucket: "),
        ({"prefix": "trai"}, "s3://datasets/trai/: there is no object."),
        ({"max_mib": 2}, "s3://datasets/train/ has 3 MiB, and max_mib of its volume is 2."),
    ],
)
def test_what_no_further_try_can_change_fails_at_once_and_is_said(given, pauses, change, said):
    with pytest.raises(Failed) as failed:
        fetch({**given, **change})
    assert str(failed.value).startswith(said)
    assert KEY not in str(failed.value)
    assert files(given) == {}
    assert pauses == []


def test_the_scratch_of_the_deployment_limits_all_of_its_buckets_together(given, tmp_path):
    both = [given, {**given, "to": str(tmp_path / "again")}]
    with pytest.raises(Failed, match="The buckets have 6 MiB, and ephemeral_mib is 5"):
        fetch(*both, most_mib=5)
    fetch(*both, most_mib=6)


@pytest.mark.parametrize("key", ["a/../../b", "/etc/passwd", "a//b", "./a", "n" * 300])
def test_a_key_that_is_no_file_of_the_folder_fails(given, s3, key, tmp_path):
    bucket = f"odd-{len(key)}-{key.count('.')}"
    s3.fill(bucket, {key: b"x"})
    with pytest.raises(Failed, match="no file can have its name"):
        fetch({**given, "bucket": bucket, "prefix": ""})
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_key_inside_of_another_fails(given, s3):
    s3.fill("nested", {"a": b"1", "a/b": b"2"})
    with pytest.raises(Failed, match=r"s3://nested/a"):
        fetch({**given, "bucket": "nested", "prefix": ""})


@pytest.mark.parametrize("target", ["/datasets?", "/datasets/train/a.txt"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (400, "ExpiredToken"), (404, "NoSuchKey")],
)
def test_a_refusal_is_final(given, faults: Faults, pauses, target, status, code):
    faults.next.append((target, says(status, code, "No.")))
    with pytest.raises(Failed, match=f"^s3://datasets/train/.*{code}: No.$"):
        fetch({**given, "endpoint": faults.url})
    assert pauses == []


@pytest.mark.parametrize("target", ["/datasets?", "/datasets/train/a.txt"])
@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "")])
def test_what_may_pass_is_tried_again_after_growing_pauses(
    given, faults: Faults, pauses, target, status, code
):
    faults.next.extend([(target, says(status, code))] * 3)
    reports = fetch({**given, "endpoint": faults.url})
    assert files(given) == TRAIN
    assert pauses[0] == 1.0
    assert len(pauses) == 3
    waits = [each for each in reports if "retry_in_s" in each]
    assert all(str(code or status) in each["said"] for each in waits)
    assert [each["retry_in_s"] for each in waits] == pauses
    if target.endswith("?"):
        assert pauses == [1.0, 2.0, 4.0]


def test_what_breaks_off_goes_on_where_it_ended_and_nothing_is_fetched_twice(
    given, faults: Faults, pauses
):
    faults.next.append(("/datasets/train/deep", breaks_off))
    fetch({**given, "endpoint": faults.url})
    assert Path(given["to"], "deep/b.bin").read_bytes() == b"b" * 3_000_000
    large = [each for target, each in faults.asked if "deep" in target]
    assert large[0] is None
    assert large[1] is not None
    assert len([target for target, _ in faults.asked if "a.txt" in target]) == 1


def test_a_server_without_ranges_sends_what_broke_off_once_more(given, faults: Faults, pauses):
    faults.next.extend([("/datasets/train/deep", breaks_off), ("/datasets/train/deep", sends_all)])
    fetch({**given, "endpoint": faults.url})
    assert Path(given["to"], "deep/b.bin").read_bytes() == b"b" * 3_000_000


def run(given: dict[str, Any], folder: Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    document = {"buckets": [given], "within_s": 60, "ranges": [], "most_mib": None, **more}
    (folder / "fetch.json").write_text(json.dumps(document))
    code = (
        "import sys; from pathlib import Path; import deployments.runtimes.fetches as f\n"
        "f.FOLDER = sys.argv[1]\n"
        "import runpy; runpy.run_module('deployments.fetch', run_name='__main__')"
    )
    env = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "of-the-image",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )


@pytest.mark.parametrize(("keys", "signed"), [({}, True), ({"access_key_id": ""}, False)])
def test_only_where_there_are_keys_requests_are_signed(given, s3, faults: Faults, keys, signed):
    s3.fill(bucket := f"public-{signed}".lower(), {})
    s3.client.put_object(Bucket=bucket, Key="train/a", Body=b"1", ACL="public-read")
    fetch({**given, "endpoint": faults.url, "bucket": bucket, **keys})
    assert files(given) == {"a": 1}
    assert faults.signed == {signed}


def test_without_keys_no_object_of_others_is_read(given):
    with pytest.raises(Failed, match=r"^s3://datasets/train/.*403"):
        fetch({**given, "access_key_id": ""})


def test_the_program_reaches_no_address_that_only_operators_may_give(given, tmp_path):
    ended = run({**given, "judged": True}, tmp_path)
    assert ended.returncode == FAILED
    last = json.loads(ended.stdout.splitlines()[-1])
    assert "a loopback address" in last["said"]
    assert files(given) == {}


def test_a_bucket_of_an_operator_is_fetched_beside_one_that_a_tenant_may_not_have(
    given, faults: Faults, tmp_path
):
    operators = {**given, "endpoint": faults.url}
    tenants = {**given, "judged": True, "volume": "own", "to": str(tmp_path / "own")}
    ended = run(given, tmp_path, buckets=[operators, tenants])
    assert ended.returncode == FAILED
    assert "a loopback address" in json.loads(ended.stdout.splitlines()[-1])["said"]
    assert faults.asked, "only the tenant's server is judged"


def test_no_proxy_of_the_image_leads_past_the_judgement(
    given, faults: Faults, tmp_path, monkeypatch
):
    """A proxy looks names up by itself, so its address would be judged in place of the server's."""
    monkeypatch.setenv("HTTP_PROXY", faults.url)
    ended = run({**given, "endpoint": "http://192.0.2.1:9", "judged": True}, tmp_path, within_s=3)
    last = json.loads(ended.stdout.splitlines()[-1])["said"]
    assert ended.returncode == DELAYED  # the address of the server itself leads nowhere
    assert last.startswith("It took more than 3 s")
    assert not faults.asked


def test_the_program_ends_by_its_deadline_and_says_what_it_waited_for(given, tmp_path):
    nowhere = {**given, "endpoint": "http://127.0.0.1:9"}
    ended = run(nowhere, tmp_path, within_s=2)
    assert ended.returncode == DELAYED
    last = json.loads(ended.stdout.splitlines()[-1])["said"]
    assert last.startswith("It took more than 2 s: s3://datasets/train/: Could not connect")
    assert KEY not in ended.stdout + ended.stderr
    assert ended.stderr == ""

"""`manage.py backup` and `manage.py restore`: what comes back, and what is refused."""

import errno
import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import User
from clusters.models import Cluster
from deployments import env
from deployments.models import Deployment
from mlops_platform.backup import dump as dumping
from mlops_platform.backup import restore as restoring
from mlops_platform.backup.databases import IN_USE, names, refuse_used
from mlops_platform.backup.file import CHECKSUM_BYTES, MAGIC, new_file
from mlops_platform.backup.sessions import database_name, session
from mlops_platform.coordination.redis import redis_client
from mlops_platform.environment.database import ONE_MIGRATION
from mlops_platform.sealing import unseal
from mlops_platform.tests.upgrades.contents import content, everything
from organizations.models import Secret

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_restored_equals_what_was_backed_up(backup: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    Deployment.objects.update(name="changed since")
    User.objects.create_user("made since")
    connection.close()
    redis_client().set("cluster:of:before", "1")
    call_command("restore", str(backup), replace=True)
    Cluster.objects.update(changed_at=Cluster.objects.values("created_at")[:1])
    databases, sequences, migrations, rows = everything(tmp_path)
    assert (databases, sequences, migrations) == before[:3]
    # Each cluster counts as changed, so that it has a cycle: all but this column is the same.
    assert rows.pop("clusters_cluster") is not None
    assert rows == {name: kept for name, kept in before[3].items() if name != "clusters_cluster"}
    restored = Deployment.objects.get()
    assert env.unsealed(restored.env) == {"TOKEN": "hunter2"}
    assert unseal(Secret.objects.get().sealed) == {"value": "hunter2"}
    assert User.objects.get().check_password("correct-horse")
    assert redis_client().dbsize() == 0


def test_a_file_of_an_earlier_version_is_brought_to_this_one(
    platform: None, tmp_path: Path
) -> None:
    for app, name in {"scheduler": "0001", "deployments": "0008", "clusters": "0008"}.items():
        call_command("migrate", app, name, verbosity=0)
    connection.close()
    call_command("backup", str(tmp_path / "earlier"))
    call_command("migrate", verbosity=0)
    connection.close()
    call_command("restore", str(tmp_path / "earlier"), replace=True)
    assert Deployment.objects.get().cluster.deleted_at is None
    call_command("migrate", check_unapplied=True, verbosity=0)


def cut_off(data: bytes) -> bytes:
    return data[:-1]


def one_bit_off(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


def a_dump_of_another_program(_data: bytes) -> bytes:
    return gzip.compress(b"-- PostgreSQL database dump\n")


def nothing(_data: bytes) -> bytes:
    return b""


def of_a_later_form(data: bytes) -> bytes:
    return data.replace(MAGIC + b"1", MAGIC + b"2", 1)


def of_a_later_version(data: bytes) -> bytes:
    def add(manifest: dict[str, Any]) -> None:
        manifest["version"] = "9.0.0"
        manifest["migrations"].append(["deployments", "9999_of_the_future"])

    return rewritten(data, add)


def sealed_with_another_key(data: bytes) -> bytes:
    def replace(manifest: dict[str, Any]) -> None:
        manifest["keys"]["credentials"] = ["gAAAAAB" + "x" * 100]

    return rewritten(data, replace)


def with_a_column_that_no_migration_made(data: bytes) -> bytes:
    def add(manifest: dict[str, Any]) -> None:
        manifest["tables"][0][1].append("note")

    return rewritten(data, add)


def rewritten(
    data: bytes,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    change_frames: Callable[[bytes], bytes] = lambda frames: frames,
) -> bytes:
    """The file with another manifest or other rows, and a right checksum."""
    first, _, body = data[:-CHECKSUM_BYTES].partition(b"\n")
    line, _, frames = gzip.decompress(body).partition(b"\n")
    manifest = json.loads(line)
    change(manifest)
    whole = (
        first + b"\n" + gzip.compress(json.dumps(manifest).encode() + b"\n" + change_frames(frames))
    )
    return whole + hashlib.sha256(whole).digest()


BAD = {
    cut_off: "cut off or damaged",
    one_bit_off: "cut off or damaged",
    nothing: "no backup of the platform",
    a_dump_of_another_program: "no backup of the platform",
    of_a_later_form: "has the form 2",
    of_a_later_version: "Version 9.0.0 made this file",
    sealed_with_another_key: "None of CREDENTIALS_KEYS opens",
    with_a_column_that_no_migration_made: "is not as its migrations make it",
}


@pytest.mark.parametrize("damage", BAD)
def test_a_file_that_does_not_fit_changes_nothing(
    damage: Callable[[bytes], bytes], backup: Path, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    backup.write_bytes(damage(backup.read_bytes()))
    redis_client().set("kept", "1")
    with pytest.raises(CommandError, match=BAD[damage]) as refusal:
        call_command("restore", str(backup), replace=True)
    assert str(refusal.value).endswith("Nothing has changed.")
    assert everything(tmp_path) == before
    assert redis_client().get("kept") == "1"


def test_rows_that_do_not_fit_change_nothing_and_are_not_shown(
    backup: Path, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    owner = str(User.objects.get().pk)
    connection.close()

    def give_another_id(frames: bytes) -> bytes:
        return frames.replace(owner.encode(), str(uuid4()).encode(), 1)

    backup.write_bytes(rewritten(backup.read_bytes(), change_frames=give_another_id))
    with pytest.raises(CommandError, match="violates foreign key constraint") as refusal:
        call_command("restore", str(backup), replace=True)
    assert owner not in str(refusal.value)
    assert everything(tmp_path) == before


def test_a_database_with_users_is_replaced_only_where_that_is_asked_for(
    backup: Path, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    with pytest.raises(CommandError, match="pass --replace to lose all of it"):
        call_command("restore", str(backup))
    assert everything(tmp_path) == before


def test_nothing_is_restored_under_running_processes(backup: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    with session(database_name()), pytest.raises(CommandError, match=IN_USE):
        call_command("restore", str(backup), replace=True)
    assert everything(tmp_path) == before


def test_a_process_that_is_about_to_end_is_waited_for(other_database: None) -> None:
    with session(names().current) as of_process:
        end = Timer(0.3, of_process.close)
        end.start()
        refuse_used(names().current)
        end.join()


def test_other_keys_may_be_accepted_and_an_empty_database_is_replaced_at_once(
    backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE accounts_user CASCADE")
    connection.close()
    backup.write_bytes(sealed_with_another_key(backup.read_bytes()))
    call_command("restore", str(backup), other_keys=True)
    assert "opens no credential of this file" in capsys.readouterr().err
    assert User.objects.get().username == "olga"


def test_without_redis_a_restore_says_what_is_left_to_do(
    backup: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RedisConnectionError("refused")

    monkeypatch.setattr(restoring, "redis_client", fail)
    call_command("restore", str(backup), replace=True)
    assert "Redis is away (refused): empty it before" in capsys.readouterr().err
    assert User.objects.get().username == "olga"


def test_a_backup_and_a_migration_wait_for_each_other(
    platform: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    tried: list[tuple[bool]] = []

    def end_the_migration(pause: float) -> None:
        waited.append(pause)
        cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_MIGRATION])

    def try_to_migrate(_line: str) -> None:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ONE_MIGRATION])
        tried.append(cursor.fetchone())

    with session(database_name(), autocommit=True) as migration:
        cursor = migration.cursor()
        cursor.execute("SELECT pg_advisory_lock(%s)", [ONE_MIGRATION])
        monkeypatch.setattr("mlops_platform.backup.dump.time.sleep", end_the_migration)
        with (tmp_path / "backup").open("wb") as file:
            dumping.dump(file, try_to_migrate)
    assert waited == [dumping.POLL_S]
    assert set(tried) == {(False,)}


def test_only_its_owner_reads_a_backup_and_it_contains_no_key(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    manifest, rows = content(backup)
    words = json.dumps(manifest).encode() + b"".join(rows.values())
    for secret in (settings.SECRET_KEY, *settings.CREDENTIALS_KEYS, "hunter2"):
        assert secret.encode() not in words


def test_a_backup_needs_no_hard_links(
    platform: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on exFAT and on some shares of a network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    call_command("backup", str(tmp_path / "file"))
    assert content(tmp_path / "file")[0]["tables"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError), new_file(tmp_path / "later"):
        (tmp_path / "later").write_bytes(b"another backup")
    assert (tmp_path / "later").read_bytes() == b"another backup"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "later"]


def test_two_that_write_the_same_backup_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "backup"

    def write_both() -> None:
        with new_file(path) as slow:
            slow.write(b"half of the slow one, ")
            with new_file(path) as quick:
                quick.write(b"the quick one")
            slow.write(b"and the other half")

    with pytest.raises(FileExistsError):
        write_both()
    assert path.read_bytes() == b"the quick one"


def test_a_backup_overwrites_nothing_and_leaves_no_half(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backup.read_bytes()
    with pytest.raises(CommandError, match="a backup overwrites nothing"):
        call_command("backup", str(backup))
    assert backup.read_bytes() == first

    def fail(_cursor: object) -> None:
        raise psycopg2.OperationalError("the server has gone away")

    monkeypatch.setattr(dumping, "sequences", fail)
    with pytest.raises(psycopg2.OperationalError):
        call_command("backup", str(tmp_path / "half"))
    assert [each.name for each in tmp_path.iterdir()] == ["backup"]

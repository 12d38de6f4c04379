"""What becomes of the old database when another has taken its place."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import User
from clusters.models import Cluster
from mlops_platform.backup.databases import IN_USE, drop, exists, names
from mlops_platform.backup.sessions import session
from mlops_platform.coordination.redis import redis_client
from mlops_platform.tests.upgrades.contents import everything
from scheduler import audit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def doubtful(platform: None, tmp_path: Path) -> Iterator[Path]:
    """A backup of which the audit complains; the database in use is in order, and has one more
    user."""
    Cluster.objects.update(allocated_gpu=1)
    connection.close()
    call_command("backup", str(tmp_path / "doubtful"))
    Cluster.objects.update(allocated_gpu=0)
    User.objects.create_user("made since")
    connection.close()
    yield tmp_path / "doubtful"
    connection.close()
    drop(names().old)


def test_the_old_database_stays_where_the_audit_complains_and_can_come_back(
    doubtful: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("restore", str(doubtful), replace=True)
    said = capsys.readouterr().err
    assert "Audit: " in said
    assert f"the old database stays as {names().old}" in said
    assert not User.objects.filter(username="made since").exists()
    connection.close()
    redis_client().set("of the restored", "1")
    call_command("restore", undo=True)
    assert User.objects.filter(username="made since").exists()
    assert redis_client().dbsize() == 0
    connection.close()
    call_command("restore", undo=True)  # and forth
    assert not User.objects.filter(username="made since").exists()
    connection.close()
    call_command("restore", drop_old=True)
    assert not exists(names().old)
    for way in ({"undo": True}, {"drop_old": True}):
        with pytest.raises(CommandError, match="no restore has kept a database"):
            call_command("restore", **way)


def test_a_second_restore_does_not_drop_what_the_first_has_kept(
    doubtful: Path, backup: Path, tmp_path: Path
) -> None:
    call_command("restore", str(doubtful), replace=True)
    before = everything(tmp_path)
    with pytest.raises(CommandError, match=r"is there, from an earlier restore: .*--undo"):
        call_command("restore", str(backup), replace=True)
    assert everything(tmp_path) == before
    call_command("restore", str(backup), replace=True, drop_old=True)
    assert not exists(names().old)


def test_what_is_kept_stays_where_the_restore_that_may_drop_it_is_refused(
    doubtful: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("restore", str(doubtful), replace=True)
    breaches = audit.breaches
    with ExitStack() as processes:

        def one_starts_meanwhile() -> list[str]:
            processes.enter_context(session(names().current))
            return breaches()

        monkeypatch.setattr(audit, "breaches", one_starts_meanwhile)
        with pytest.raises(CommandError, match=IN_USE):
            call_command("restore", str(backup), replace=True, drop_old=True)
    assert exists(names().old)
    assert not exists(names().draft)


def test_the_old_database_goes_at_once_where_that_is_asked_for(doubtful: Path) -> None:
    call_command("restore", str(doubtful), replace=True, drop_old=True)
    assert not exists(names().old)


def test_databases_change_places_under_no_running_process(doubtful: Path, tmp_path: Path) -> None:
    call_command("restore", str(doubtful), replace=True)
    before = everything(tmp_path)
    for used in (names().current, names().old):
        with session(used), pytest.raises(CommandError, match=IN_USE):
            call_command("restore", undo=True)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "words", [{}, {"undo": True, "drop_old": True}, {"undo": True, "file": "backup"}]
)
def test_a_restore_needs_one_thing_to_do(words: dict[str, Any]) -> None:
    file = words.pop("file", None)
    with pytest.raises(CommandError, match="Give a file, or --undo alone, or --drop-old alone"):
        call_command("restore", *([file] if file else []), **words)

"""The first operator, as docs/how-to/run-in-production.md makes one."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Mapping
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from mlops_platform.tests.equipment.plugin import REPOSITORY

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 60.0
PASSWORD = "correct horse battery staple"


def test_it_asks_for_a_name_and_a_password_and_for_nothing_else(
    worker_environment: dict[str, str],
) -> None:
    terminal, of_command = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "manage.py", "createsuperuser"],
        cwd=REPOSITORY,
        env=worker_environment,
        stdin=of_command,
        stdout=of_command,
        stderr=of_command,
        start_new_session=True,
    ) as command:
        os.close(of_command)
        shown = _answer(
            terminal, {b"Username": "Ada", b"Password:": PASSWORD, b"(again)": PASSWORD}
        )
        command.wait(PATIENCE_S)
    os.close(terminal)
    assert command.returncode == 0, shown.decode()
    assert b"mail" not in shown
    ada = User.objects.get(username="Ada")
    assert ada.is_superuser
    assert ada.is_staff
    assert ada.has_usable_password()
    assert ada.profile is not None


def _answer(terminal: int, answers: Mapping[bytes, str]) -> bytes:
    """Type each answer once its question is asked; returns all that was shown until the end."""
    shown, asked = b"", dict(answers)
    while select.select([terminal], [], [], PATIENCE_S)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the command has closed its terminal
            break
        for question in [each for each in asked if each in shown]:
            os.write(terminal, f"{asked.pop(question)}\n".encode())
    return shown


def test_without_a_terminal_it_takes_them_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", interactive=False, username="ada", stdout=StringIO())
    assert User.objects.get(username="ada").check_password(PASSWORD)


def test_a_name_that_another_user_has_in_another_case_is_refused() -> None:
    User.objects.create_user("Ada")
    with pytest.raises(CommandError, match="taken"):
        call_command("createsuperuser", interactive=False, username="aDA", stdout=StringIO())
    assert User.objects.count() == 1

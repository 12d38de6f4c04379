"""A backup that several keys have sealed needs each of them to be restored."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from clusters.models import Cluster, Endpoint
from deployments import env
from deployments.models import Deployment
from mlops_platform.sealing import seal
from mlops_platform.tests.upgrades.contents import everything

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two_keys(platform: None, settings: Settings) -> tuple[str, str]:
    """(older, newer): the deployment is sealed with the older one, an endpoint with the newer."""
    older, newer = settings.CREDENTIALS_KEYS[0], Fernet.generate_key().decode()
    settings.CREDENTIALS_KEYS = [newer, older]
    return older, newer


def seal_one_with_the_newer() -> None:
    Endpoint.objects.create(cluster=Cluster.objects.get(), secrets=seal({"token": "hunter3"}))
    connection.close()


@pytest.mark.parametrize("kept", [0, 1])
def test_each_key_that_sealed_a_row_is_needed(
    kept: int,
    two_keys: tuple[str, str],
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seal_one_with_the_newer()
    call_command("backup", str(tmp_path / "file"))
    before = everything(tmp_path)
    settings.CREDENTIALS_KEYS = [two_keys[kept]]
    lost = ("1 of Endpoints", "1 of Secrets, 1 of Environments")[kept]
    sentence = f"lacks 1 of the file's 2 keys, which sealed {lost}"
    with pytest.raises(CommandError, match=sentence):
        call_command("restore", str(tmp_path / "file"), replace=True)
    assert everything(tmp_path)[0] == before[0]
    assert everything(tmp_path)[3] == before[3]
    call_command("restore", str(tmp_path / "file"), replace=True, other_keys=True)
    assert sentence in capsys.readouterr().err


def test_a_key_that_sealed_no_row_is_not_needed(
    two_keys: tuple[str, str], settings: Settings, tmp_path: Path
) -> None:
    call_command("rotate_credentials")
    connection.close()
    call_command("backup", str(tmp_path / "file"))
    settings.CREDENTIALS_KEYS = [two_keys[1]]
    call_command("restore", str(tmp_path / "file"), replace=True)
    assert env.unsealed(Deployment.objects.get().env) == {"TOKEN": "hunter2"}

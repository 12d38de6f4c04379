"""Credentials at rest, and the rotation of the keys that seal them."""

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from clusters.models import Endpoint, Registry
from clusters.tests.allocation import row
from mlops_platform.sealing import BATCH, Unsealable, resealed, seal, unseal
from organizations.models import Secret

SECRETS = {"key": "-----BEGIN PRIVATE KEY-----\nhunter2", "token": "tök"}


@pytest.fixture
def keys(settings):
    """Sets the keys by their letters: `keys("b", "a")`."""
    drawn = {letter: Fernet.generate_key().decode() for letter in "abc"}

    def choose(*letters):
        settings.CREDENTIALS_KEYS = [drawn[letter] for letter in letters]

    choose("a")
    return choose


def test_sealed_secrets_are_unreadable_and_can_be_opened(keys):
    sealed = seal(SECRETS)
    assert unseal(sealed) == SECRETS
    assert "hunter2" not in sealed
    assert seal(SECRETS) != sealed  # equal secrets cannot be recognized as equal


def test_no_secrets_are_sealed_as_an_empty_text(keys):
    assert seal({}) == seal({"ca": "", "key": ""}) == ""
    assert unseal("") == {}


def test_the_first_key_seals_and_all_open(keys):
    old = seal(SECRETS)
    keys("b", "a")
    assert unseal(old) == SECRETS
    fresh = seal(SECRETS)
    keys("b")
    assert unseal(fresh) == SECRETS


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: "x", lambda text: "ü"])
def test_the_error_for_damaged_credentials_contains_none_of_them(keys, damage):
    with pytest.raises(Unsealable):
        unseal(damage(seal(SECRETS)))


def test_the_error_for_credentials_that_no_key_opens_contains_none_of_them(keys):
    sealed = seal(SECRETS)
    keys("b")
    with pytest.raises(Unsealable) as raised:
        unseal(sealed)
    assert str(raised.value) == (
        "Credentials cannot be opened: none of CREDENTIALS_KEYS sealed them. Add the key that did, "
        "or attach again."
    )
    assert raised.value.__cause__ is None


def test_secrets_under_the_first_key_stay_as_they_are(keys):
    sealed = seal(SECRETS)
    assert resealed(sealed) == sealed
    assert resealed("") == ""
    keys("b", "a")
    fresh = resealed(sealed)
    keys("b")
    assert unseal(fresh) == SECRETS


@pytest.fixture
def kept(cluster, keys):
    """Five endpoints, one of them without secrets, and a registry."""
    for number in range(5):
        secrets = seal({"key": str(number)}) if number else ""
        Endpoint.objects.create(cluster=cluster, url=f"tcp://h:{number}", secrets=secrets)
    sealed = seal({"value": "hunter2"})
    Secret.objects.create(organization=cluster.organization, name="hf", sealed=sealed)
    sealed = seal({"password": "hunter2"})
    return Registry.objects.create(cluster=cluster, host="h", username="u", secret=sealed)


def shown(capsys):
    return capsys.readouterr().out.splitlines()


def test_rotation_seals_everything_with_the_first_key(kept, keys, capsys):
    sealed = seal({"key": "another"})
    Endpoint.objects.bulk_create(
        Endpoint(cluster=kept.cluster, url=f"tcp://more:{number}", secrets=sealed)
        for number in range(BATCH)
    )
    keys("b", "a")
    call_command("rotate_credentials")
    assert shown(capsys) == [
        "Secrets: 1 sealed again, 0 under the first key already, 0 that no key opens.",
        f"Endpoints: {BATCH + 4} sealed again, 0 under the first key already, 0 that no key opens.",
        "Registries: 1 sealed again, 0 under the first key already, 0 that no key opens.",
        "Secrets of webhooks: 0 sealed again, 0 under the first key already, 0 that no key opens.",
        "Environments: 0 sealed again, 0 under the first key already, 0 that no key opens.",
    ]
    keys("b")
    opened = [unseal(each.secrets) for each in Endpoint.objects.order_by("pk")]
    assert opened[:5] == [{}, *({"key": str(number)} for number in range(1, 5))]
    assert opened[5:] == [{"key": "another"}] * BATCH
    assert unseal(row(kept)["secret"]) == {"password": "hunter2"}
    assert unseal(Secret.objects.get().sealed) == {"value": "hunter2"}


def test_a_rotation_can_be_repeated(kept, keys, capsys):
    before = row(kept)
    call_command("rotate_credentials")
    assert shown(capsys)[2] == (
        "Registries: 0 sealed again, 1 under the first key already, 0 that no key opens."
    )
    assert row(kept) == before


def test_rotation_reports_what_no_key_opens_and_leaves_it_as_it_is(kept, keys, capsys):
    before = row(kept)
    keys("b")
    Endpoint.objects.filter(url="tcp://h:1").update(secrets=seal({"key": "1"}))
    with pytest.raises(CommandError, match="5 cannot be opened: add the key"):
        call_command("rotate_credentials")
    assert shown(capsys)[1] == (
        "Endpoints: 0 sealed again, 1 under the first key already, 3 that no key opens."
    )
    assert row(kept) == before

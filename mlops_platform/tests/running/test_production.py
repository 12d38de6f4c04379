"""`MLOPS_ENV=production` starts with a proper environment, and refuses each default by its name."""

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.production import (
    REQUIRED,
    is_production,
    proxies_in_front,
    refuse_unsafe,
    requires_staff_totp,
)

REPOSITORY = Path(__file__).resolve().parents[3]
CHECK = ("check", "--deploy", "--fail-level", "WARNING")


def a_key():
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def proper():
    return {
        "MLOPS_ENV": "production",
        "SECRET_KEY": secrets.token_hex(32),
        "METRICS_TOKEN": secrets.token_hex(32),
        "CREDENTIALS_KEYS": f"{a_key()}, {a_key()}",
        "ALLOWED_HOSTS": "ml.invalid",
        "DATABASE_URL": f"postgres://mlops:{secrets.token_hex(16)}@database.invalid/mlops",
        "REDIS_URL": "redis://redis.invalid/0",
        "TRUSTED_PROXIES": "1",
    }


def manage(env, *arguments):
    """Run manage.py in `env` and nothing else of ours; its exit code and what it said."""
    basics = {"PATH": os.environ["PATH"], "MLOPS_DATA_DIR": os.environ["MLOPS_DATA_DIR"]}
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env={**basics, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_proper_environment_passes_djangos_own_checks(proper):
    code, said = manage(proper, *CHECK)
    assert code == 0, said
    assert "no issues" in said


def test_the_programs_refuse_to_start_with_a_default(proper):
    code, said = manage({**proper, "SECRET_KEY": ""}, *CHECK)
    assert code != 0
    assert "Refusing to start in production. SECRET_KEY is not set" in said


def test_a_proper_environment_is_fit(proper):
    refuse_unsafe(proper)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("empty", [True, False])
def test_the_refusal_names_each_missing_variable(proper, name, empty):
    proper[name] = ""
    if not empty:
        del proper[name]
    with pytest.raises(ImproperlyConfigured, match=f"{name} is not set"):
        refuse_unsafe(proper)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 80),
        ("SECRET_KEY", "django-insecure-" + "0123456789abcdef" * 4),
        ("SECRET_KEY", "please-change-me-" + "0123456789abcdef" * 4),
        ("METRICS_TOKEN", "metrics"),
        ("METRICS_TOKEN", "Example-" + "0123456789abcdef" * 4),
        ("CREDENTIALS_KEYS", " , "),
        ("CREDENTIALS_KEYS", "short"),
        ("CREDENTIALS_KEYS", "A" * 43 + "="),
        pytest.param("CREDENTIALS_KEYS", f"{a_key()},{a_key()[:-4]}", id="the second too short"),
        ("CREDENTIALS_KEYS", "not-base64-at-all-but-of-the-right-length-!!"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "ml.invalid,*"),
        ("DATABASE_URL", "postgres://mlops:mlops@database.invalid/mlops"),
        ("DATABASE_URL", "postgres://mlops:password@database.invalid/mlops"),
    ],
)
def test_the_refusal_names_a_weak_variable_alone(proper, name, value):
    with pytest.raises(ImproperlyConfigured) as shown:
        refuse_unsafe({**proper, name: value})
    assert name in str(shown.value)
    assert not [other for other in REQUIRED if other != name and other in str(shown.value)]


def test_the_refusal_names_all_faults_at_once():
    with pytest.raises(ImproperlyConfigured) as shown:
        refuse_unsafe({})
    assert all(name in str(shown.value) for name in REQUIRED)


def test_no_secret_is_repeated(proper):
    with pytest.raises(ImproperlyConfigured) as shown:
        refuse_unsafe({**proper, "SECRET_KEY": "hunter2", "ALLOWED_HOSTS": ""})
    assert "hunter2" not in str(shown.value)
    assert proper["METRICS_TOKEN"] not in str(shown.value)


def test_the_refusal_names_a_faulty_key_by_its_place(proper):
    with pytest.raises(
        ImproperlyConfigured, match="CREDENTIALS_KEYS: key 2 is not 32 random"
    ) as shown:
        refuse_unsafe({**proper, "CREDENTIALS_KEYS": f"{a_key()},hunter2"})
    assert "hunter2" not in str(shown.value)


@pytest.mark.parametrize(
    ("given", "production"), [("production", True), ("development", False), ("", False)]
)
def test_what_the_environment_says(given, production):
    assert is_production({"MLOPS_ENV": given}) is production


@pytest.mark.parametrize("given", ["prod", "Production", "production ", "staging"])
def test_a_misspelt_environment_is_refused(given):
    with pytest.raises(ImproperlyConfigured, match="MLOPS_ENV"):
        is_production({"MLOPS_ENV": given})


@pytest.mark.parametrize(
    ("given", "number"), [("none", 0), ("None ", 0), ("0", 0), ("1", 1), (" 2", 2), ("", 0)]
)
def test_how_many_proxies_stand_in_front(given, number):
    assert proxies_in_front({"TRUSTED_PROXIES": given}) == number


@pytest.mark.parametrize("given", ["-1", "1.5", "ten", "10", "1,2", "\u0661", "true", "10.0.0.1"])
def test_what_is_no_number_of_proxies_is_refused_by_the_variables_name(given):
    with pytest.raises(ImproperlyConfigured, match=r"TRUSTED_PROXIES is .*; use none or a number"):
        proxies_in_front({"TRUSTED_PROXIES": given})


def test_production_does_not_start_without_the_number_of_proxies(proper):
    """Behind a proxy that is not counted, all clients share the proxy's allowance."""
    for name in ("none", "2"):
        refuse_unsafe({**proper, "TRUSTED_PROXIES": name})
    code, said = manage({**proper, "TRUSTED_PROXIES": ""}, *CHECK)
    assert code != 0
    assert "TRUSTED_PROXIES is not set; it is how many proxies stand in front, or none" in said
    code, said = manage({**proper, "TRUSTED_PROXIES": "many"}, *CHECK)
    assert code != 0
    assert "TRUSTED_PROXIES is 'many'; use none or a number up to 9." in said


@pytest.mark.parametrize(
    ("env", "required"),
    [
        ({}, False),
        ({"MLOPS_ENV": "production"}, True),
        ({"MLOPS_ENV": "production", "REQUIRE_STAFF_TOTP": "0"}, False),
        ({"REQUIRE_STAFF_TOTP": "1"}, True),
        ({"REQUIRE_STAFF_TOTP": ""}, False),
    ],
)
def test_operators_need_a_second_factor_in_production(env, required):
    assert requires_staff_totp(env) is required


@pytest.mark.parametrize("given", ["true", "yes", "2", "off"])
def test_another_value_is_refused_by_the_variables_name(given):
    with pytest.raises(ImproperlyConfigured, match="REQUIRE_STAFF_TOTP is"):
        requires_staff_totp({"REQUIRE_STAFF_TOTP": given})

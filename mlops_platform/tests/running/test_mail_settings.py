"""What the environment says of mail and of the platform's own address."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.mail import Mail, mail, public_url

GIVEN = {
    "EMAIL_HOST": "smtp.example.org",
    "EMAIL_FROM": "Platform <ml@example.org>",
    "PUBLIC_URL": "https://ml.example.org",
}


def test_without_a_host_no_mail_is_sent():
    assert mail({}).host == ""
    assert mail({"EMAIL_FROM": "ml@example.org", "EMAIL_PORT": "no"}).host == ""


@pytest.mark.parametrize(
    ("security", "port"), [(None, 587), ("starttls", 587), ("TLS", 465), ("none", 25)]
)
def test_the_port_follows_from_the_security(security, port):
    given = mail(GIVEN | ({"EMAIL_SECURITY": security} if security else {}))
    assert given.port == port
    assert mail(GIVEN | {"EMAIL_PORT": "2525"}).port == 2525


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMAIL_HOST", "smtp example.org"),
        ("EMAIL_HOST", "smtp://example.org"),
        ("EMAIL_PORT", "0"),
        ("EMAIL_PORT", "65536"),
        ("EMAIL_PORT", "smtp"),
        ("EMAIL_SECURITY", "ssl"),
        ("EMAIL_FROM", ""),
        ("EMAIL_FROM", "ml"),
        ("EMAIL_FROM", "a@b\nBcc: c@d"),
        ("PUBLIC_URL", ""),
        ("PUBLIC_URL", "ml.example.org"),
        ("PUBLIC_URL", "ftp://ml.example.org"),
        ("PUBLIC_URL", "https://ml.example.org/?a=b"),
    ],
)
def test_a_faulty_variable_is_named(name, value):
    with pytest.raises(ImproperlyConfigured, match=name):
        mail(GIVEN | {name: value})


def test_the_own_address_has_no_slash_at_its_end():
    assert public_url({"PUBLIC_URL": "https://ml.example.org/"}) == "https://ml.example.org"
    assert public_url({}) == ""


def test_the_password_is_not_shown():
    assert "hunter2" not in repr(Mail(host="smtp.example.org", password="hunter2"))

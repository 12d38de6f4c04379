"""Certificates and keys of a TLS connection."""

import pytest

from clusters.endpoints.tls import BadCertificate, Tls, read_tls
from clusters.tests.endpoints.pki import locked_key, pem


def test_matching_certificate_and_key_are_kept_without_the_text_around_them():
    one = pem()
    noisy = (f"Bag Attributes: tök\n{one.ca}", f"\n{one.cert}\n\n", f"{one.key}\n")
    assert read_tls(*noisy) == read_tls(*one)
    assert read_tls(*one) == Tls(*one)


def test_a_chain_is_kept_with_its_own_certificate_first():
    one = pem()
    assert read_tls(one.ca, one.cert + one.ca, one.key).cert == one.cert + one.ca


@pytest.mark.parametrize("given", [("", "", ""), (pem().ca, "", "")])
def test_a_certificate_is_not_needed_by_itself(given):
    assert read_tls(*given) == Tls(*given)


def test_a_key_is_not_shown():
    assert "PRIVATE" not in repr(read_tls(*pem()))


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"ca": "x"}, "ca", "It is no certificate in PEM form."),
        ({"ca": pem().key}, "ca", "It is no certificate in PEM form."),
        ({"ca": pem("old", ca_ends=-1).ca}, "ca", "It has expired."),
        ({"cert": "x"}, "cert", "It is no certificate in PEM form."),
        ({"cert": pem().cert[:99]}, "cert", "It is no certificate in PEM form."),
        ({"cert": ""}, "cert", "The key's certificate is missing."),
        ({"key": ""}, "key", "The certificate's private key is missing."),
        ({"key": "x"}, "key", "It is no private key in PEM form."),
        ({"key": pem().cert}, "key", "It is no private key in PEM form."),
        ({"key": pem("two").key}, "key", "It is not the certificate's key."),
        ({"key": locked_key()}, "key", "It is locked by a passphrase: give it without."),
    ],
)
def test_a_certificate_and_key_that_do_not_match_are_refused(changes, field, sentence):
    with pytest.raises(BadCertificate, match=sentence) as raised:
        read_tls(**{**pem()._asdict(), **changes})
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("times", "sentence"),
    [({"ends": -1}, "It expired on 2"), ({"begins": 2}, "It is not valid before 2")],
)
def test_a_certificate_is_valid_now(times, sentence):
    with pytest.raises(BadCertificate, match=sentence) as raised:
        read_tls(*pem("timed", **times))
    assert raised.value.field == "cert"

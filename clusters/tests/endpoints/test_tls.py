"""Certificates and keys of a TLS connection."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clusters.endpoints.tls import BadCertificate, Tls, read_tls
from clusters.tests.endpoints.pki import DAY, Pem, locked_key, pem


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


def _issued(key: Any) -> Pem:
    """A certificate for the key."""
    authority = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .sign(authority, hashes.SHA256())
    )
    return Pem(pem().ca, certificate.public_bytes(Encoding.PEM).decode(), _private(key))


def _private(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, form, NoEncryption())
    return text.decode()


def _unchecked_rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Its numbers are no primes: real ones of that size take minutes to find."""
    p, q = (secrets.randbits(bits // 2) | 3 << bits // 2 - 2 | 1 for _ in range(2))
    d = secrets.randbits(bits - 1) | 1
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), 12345, public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


KEYS: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "an elliptic curve": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
def test_a_key_of_a_usual_kind_is_taken(make):
    key = make()
    issued = _issued(key)
    assert read_tls(*issued) == Tls(*issued)
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        traditional = _private(key, PrivateFormat.TraditionalOpenSSL)
        assert read_tls(issued.ca, issued.cert, traditional) == Tls(*issued)


@pytest.mark.parametrize("bits", [4104, 16384])
def test_a_key_that_takes_long_to_check_is_refused_unchecked(bits):
    """A pair of real primes of 8,192 bits takes ten seconds."""
    with pytest.raises(BadCertificate, match="An RSA key may have 4096 bits at most") as raised:
        read_tls(*_issued(_unchecked_rsa_key(bits)))
    assert raised.value.field == "key"


def test_a_key_whose_numbers_are_no_primes_is_refused():
    with pytest.raises(BadCertificate, match="It is no private key in PEM form") as raised:
        read_tls(*_issued(_unchecked_rsa_key(2048)))
    assert raised.value.field == "key"


def test_a_key_of_another_kind_is_not_read():
    """Reading one may take as long as its maker likes."""
    key = dsa.generate_private_key(1024)  # noqa: S505 - it is refused
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        with pytest.raises(BadCertificate, match="It is no private key in PEM form"):
            read_tls(pem().ca, pem().cert, _private(key, form))

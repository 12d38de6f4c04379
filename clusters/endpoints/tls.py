"""Checks the certificates and the key of a TLS connection, as PEM text."""

import base64
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.utils import timezone

LONGEST_PEM = 32 * 1024
MOST_RSA_BITS = 4096  # that its factors are primes takes a second to check at twice as many

_LABEL_OF_ANY_KIND = "PRIVATE KEY"
_KNOWN_LABELS = {_LABEL_OF_ANY_KIND, "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}
_KNOWN_KINDS = (  # object identifiers in DER: RSA, elliptic curves, Ed25519, Ed448
    bytes.fromhex("06092a864886f70d010101"),
    bytes.fromhex("06072a8648ce3d0201"),
    bytes.fromhex("06032b6570"),
    bytes.fromhex("06032b6571"),
)
_KIND_WITHIN = 40  # bytes: the lengths and the version stand before it


class BadCertificate(ValueError):  # noqa: N818 - it is a sentence for users
    """`field` (ca, cert or key) cannot be used; the message is a sentence without its content."""

    def __init__(self, field_name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field_name


@dataclass(frozen=True, slots=True)
class Tls:
    """The given PEM blocks, without the text around them."""

    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)

    def as_secrets(self) -> dict[str, str]:
        return {"ca": self.ca, "cert": self.cert, "key": self.key}


def read_tls(ca: str, cert: str, key: str) -> Tls:
    """Raises BadCertificate for text that is no PEM, for a key that is not the certificate's, and
    for a certificate outside its validity period.

    Each may be empty, but a certificate needs its key, and a key its certificate.
    """
    authorities = _certificates("ca", ca) if ca else []
    if authorities and all(_has_expired(each) for each in authorities):
        raise BadCertificate("ca", "It has expired.")
    if not cert and not key:
        return Tls(ca=_pem(authorities))
    if not key:
        raise BadCertificate("key", "The certificate's private key is missing.")
    if not cert:
        raise BadCertificate("cert", "The key's certificate is missing.")
    chain = _certificates("cert", cert)
    own = chain[0]
    if _has_expired(own):
        raise BadCertificate("cert", f"It expired on {own.not_valid_after_utc:%Y-%m-%d}.")
    if own.not_valid_before_utc > timezone.now():
        raise BadCertificate("cert", f"It is not valid before {own.not_valid_before_utc:%Y-%m-%d}.")
    return Tls(ca=_pem(authorities), cert=_pem(chain), key=_key_of(own, key))


def _certificates(name: str, text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate(name, "It is no certificate in PEM form.") from None


def _key_of(certificate: x509.Certificate, text: str) -> str:
    """The certificate's key. It is the size of the key that decides how long checking it takes, so
    it is measured first: reading a key without checking it takes no time."""
    unchecked = _private_key(text, unchecked=True)
    try:
        of_certificate = _public(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate("cert", "Its key is of a kind that is not taken.") from None
    if _public(unchecked.public_key()) != of_certificate:
        raise BadCertificate("key", "It is not the certificate's key.")
    if isinstance(unchecked, RSAPrivateKey) and unchecked.key_size > MOST_RSA_BITS:
        raise BadCertificate("key", f"An RSA key may have {MOST_RSA_BITS} bits at most.")
    key = _private_key(text, unchecked=False)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _private_key(text: str, *, unchecked: bool) -> PrivateKeyTypes:
    try:
        _refuse_unknown_kinds(text)
        return load_pem_private_key(
            text.encode(), password=None, unsafe_skip_rsa_key_validation=unchecked
        )
    except TypeError:  # how the library reports an encrypted key
        raise BadCertificate("key", "It is locked by a passphrase: give it without.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate("key", "It is no private key in PEM form.") from None


def _refuse_unknown_kinds(text: str) -> None:
    """ValueError for keys of other kinds, some of which take long to read whatever they are for."""
    label, _, rest = text.partition("-----BEGIN ")[2].partition("-----")
    if label == "EC PARAMETERS":  # OpenSSL writes them before the key
        label, _, rest = rest.partition("-----BEGIN ")[2].partition("-----")
    if label not in _KNOWN_LABELS:
        raise ValueError("not known")
    if label == _LABEL_OF_ANY_KIND:
        der = base64.b64decode(rest.partition("-----")[0])[:_KIND_WITHIN]
        if not any(kind in der for kind in _KNOWN_KINDS):
            raise ValueError("not known")


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _has_expired(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < timezone.now()


def _pem(certificates: list[x509.Certificate]) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)

"""Checks the certificates and the key of a TLS connection, as PEM text."""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.utils import timezone

LONGEST_PEM = 32 * 1024


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
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:  # how the library reports an encrypted key
        raise BadCertificate("key", "It is locked by a passphrase: give it without.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate("key", "It is no private key in PEM form.") from None
    if _public(key.public_key()) != _public(certificate.public_key()):
        raise BadCertificate("key", "It is not the certificate's key.")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _has_expired(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < timezone.now()


def _pem(certificates: list[x509.Certificate]) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)

"""Certificates, keys and kubeconfigs for tests, each made once."""

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

DAY = timedelta(days=1)


class Pem(NamedTuple):
    ca: str
    cert: str
    key: str

    def body(self, **fields: Any) -> dict[str, Any]:
        """A Docker node's `endpoint`."""
        return {"url": "tcp://10.0.0.5:2376", **self._asdict(), **fields}


@cache
def pem(name: str = "one", *, begins: int = -1, ends: int = 30, ca_ends: int = 30) -> Pem:
    """A client certificate and its CA, valid from and to so many days from now."""
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _named(f"ca of {name}")
    ca = _certificate(issuer, issuer, authority, authority, -400, ca_ends)
    cert = _certificate(_named(name), issuer, own, authority, begins, ends)
    return Pem(_text(ca), _text(cert), private(own, NoEncryption()))


@cache
def locked_key() -> str:
    return private(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"hunter2"))


def private(key: ec.EllipticCurvePrivateKey, lock: KeySerializationEncryption) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _certificate(subject: Any, issuer: Any, own: Any, signer: Any, begins: int, ends: int) -> Any:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now + begins * DAY, now + ends * DAY - DAY))
        .not_valid_after(now + ends * DAY)
        .sign(signer, hashes.SHA256())
    )


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(**changes: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig as data; `cluster`, `user`, `context` and `top` change what stands in them.

    A value of None takes the field away.
    """
    given: dict[str, dict[str, Any]] = {
        "cluster": {
            "server": "https://10.0.0.9:6443",
            "certificate-authority-data": b64(pem().ca),
        },
        "user": {"token": "kube-token-hunter2"},
        "context": {"cluster": "c", "user": "u"},
        "top": {"apiVersion": "v1", "kind": "Config", "current-context": "x"},
    }
    made = {
        kind: {k: v for k, v in {**fields, **changes.get(kind, {})}.items() if v is not None}
        for kind, fields in given.items()
    }
    return {
        "clusters": [{"name": "other", "cluster": {}}, {"name": "c", "cluster": made["cluster"]}],
        "users": [{"name": "u", "user": made["user"]}],
        "contexts": [{"name": "x", "context": made["context"]}],
        **made["top"],
    }


def kubeconfig(**changes: dict[str, Any]) -> str:
    return str(yaml.safe_dump(config(**changes)))

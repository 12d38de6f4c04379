"""The text of an invitation: `join_` and 256 random bits, of which the table has the digest."""

import hashlib
import secrets

PREFIX = "join_"
LENGTH = len(PREFIX) + 43  # 256 bits in URL-safe base64


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether a text has the form of an invitation's; a standing code is shorter."""
    return len(text) == LENGTH and text.startswith(PREFIX)


def digest(token: str) -> str:
    """One round of SHA-256 without a salt: 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()

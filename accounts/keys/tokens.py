"""The text of an API key: `mlops_`, 256 random bits, and a checksum of both.

Scanners of leaked secrets find it by its prefix and sort out lookalikes by the checksum, CRC-32 as
in GitHub's tokens; and a key that was not copied whole is refused without a query.
"""

import hashlib
import secrets
import string
from zlib import crc32

PREFIX = "mlops_"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_DIGITS = 43  # 256 bits in base 62
CHECK_DIGITS = 6  # 32 bits
LENGTH = len(PREFIX) + SECRET_DIGITS + CHECK_DIGITS
SHOWN = len(PREFIX) + 6
"""So many of its characters are shown later: 220 random bits stay unknown."""


def new_token() -> str:
    head = PREFIX + _in_base_62(secrets.randbits(256), SECRET_DIGITS)
    return head + _checksum(head)


def is_whole(token: str) -> bool:
    """Whether a text can be a key: its length, prefix and checksum are right."""
    if len(token) != LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return False
    head, check = token[:-CHECK_DIGITS], token[-CHECK_DIGITS:]
    return _checksum(head) == check


def digest(token: str) -> str:
    """What the table keeps of a key. One round of SHA-256 without a salt: slow hashes protect what
    people choose, and 256 random bits cannot be guessed however fast each guess is."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(head: str) -> str:
    return _in_base_62(crc32(head.encode()), CHECK_DIGITS)


def _in_base_62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))

"""Names: the form in which they are compared, and what they may not contain.

Every place that compares names of users folds them here, and so no spelling is one name for the
login and another one for its throttle. Lower case in PostgreSQL and in Python differ, for instance
for the Turkish dotted I.
"""

import re
import unicodedata
from collections.abc import Iterator

from rest_framework.serializers import ValidationError

INVISIBLE = "Must not contain control, format or other invisible characters."
WIDE_SPACE = "\u3000"  # between the words of ideographs
MIXED = "A word must not mix letters of several scripts, which look alike."

# What one word of Chinese, Japanese and Korean text is written with.
TOGETHER = (
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA"},
    {"LATIN", "CJK", "BOPOMOFO"},
    {"LATIN", "CJK", "HANGUL"},
)
_WORDS = re.compile(r"[\s\W_]+")


def folded(name: str) -> str:
    """Two names are the same if these are: compatibility forms and letter case do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_name(name: str) -> None:
    """Refuse a name that may look like another one. For the validators of a field."""
    if not name.replace(WIDE_SPACE, " ").isprintable():
        raise ValidationError(INVISIBLE)
    for word in _WORDS.split(unicodedata.normalize("NFKC", name)):
        scripts = set(_scripts(word))
        if len(scripts) > 1 and not any(scripts <= each for each in TOGETHER):
            raise ValidationError(MIXED)


def _scripts(word: str) -> Iterator[str]:
    """Of each letter: the first word of its name in Unicode, which is its script."""
    for letter in word:
        if unicodedata.category(letter) in {"Ll", "Lu", "Lt", "Lo"}:
            yield unicodedata.name(letter, "CJK").split()[0]

"""What Django's cache keeps in Redis: JSON. Django's default is pickle, which runs code when it is
read, so that a person who can write into Redis could take over the web server."""

import json
from typing import Any


class JsonSerializer:
    """For the OPTIONS of Django's RedisCache. Raises ValueError or TypeError for all but JSON."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, allow_nan=False).encode()

    def loads(self, stored: bytes | str) -> Any:
        return json.loads(stored)

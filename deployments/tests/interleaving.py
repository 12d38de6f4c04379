"""Runs code of a test at a chosen moment of other code: right after one of its SQL statements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def after_statement(text: str, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` once, after this connection's first statement that contains `text`."""
    done = False

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal done
        result = run(sql, params, many, context)
        if not done and text in sql:
            done = True
            act()
        return result

    with connection.execute_wrapper(execute):
        yield
    assert done, f"no statement contained {text!r}"

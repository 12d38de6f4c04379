"""What remains to be done after the database's clock has been put back.

Times that were written while it was ahead lie in the future then: an end would come late by as much
as the clock was put back, and so would a retry, a kill, and the end of an exempt time. None is
later here than it would be if what it counts from had happened just now.
"""

from django.db import connection

from deployments.lifecycle.retry_backoff import LAST_RETRY_S

# A transaction that has begun before a time was written may see it a little ahead.
SLACK_S = 1

_MOVE_TO_NOW = (
    """
UPDATE deployments_deployment
   SET started_at = statement_timestamp(),
       due_at = statement_timestamp() + (due_at - started_at)
 WHERE id = ANY(ARRAY(
       SELECT id FROM deployments_deployment
        WHERE status = 'RUNNING'
          AND started_at > statement_timestamp() + %(slack_s)s * interval '1 second'
          FOR NO KEY UPDATE SKIP LOCKED))
""",
    """
UPDATE deployments_deployment
   SET retry_at = statement_timestamp() + %(longest_pause_s)s * interval '1 second'
 WHERE id = ANY(ARRAY(
       SELECT id FROM deployments_deployment
        WHERE status = 'QUEUED' AND retry_at > statement_timestamp()
              + (%(longest_pause_s)s + %(slack_s)s) * interval '1 second'
          FOR NO KEY UPDATE SKIP LOCKED))
""",
    """
UPDATE deployments_deployment
   SET stop_by = statement_timestamp() + grace_s * interval '1 second'
 WHERE id = ANY(ARRAY(
       SELECT id FROM deployments_deployment
        WHERE status = 'STOPPING' AND stop_by > statement_timestamp()
              + (grace_s + %(slack_s)s) * interval '1 second'
          FOR NO KEY UPDATE SKIP LOCKED))
""",
)


def move_future_to_now() -> int:
    """Move what lies further ahead than it can; returns how many deployments that concerns. Three
    queries, which wait for no lock; to be repeated where a row was locked."""
    moved = 0
    with connection.cursor() as cursor:
        for statement in _MOVE_TO_NOW:
            cursor.execute(statement, {"slack_s": SLACK_S, "longest_pause_s": LAST_RETRY_S})
            moved += cursor.rowcount
    return moved

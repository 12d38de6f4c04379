"""Keeps what runs in step with what the rows say, in both directions.

One pass over one cluster (loop.py) looks at its endpoints, writes down what has become of its
attempts, tells the runtimes to start and stop, and clears away what nobody wants. It keeps nothing
in memory: rows and runtimes are all it knows, each call is idempotent, each write names the state
that it expects. So a worker may be killed between any two lines; the next pass goes on from there.

Beside the passes: watcher.py has one come at once where something happened, image_pulls.py fetches
images meanwhile, lifecycle/retry_backoff.py ends the pauses after failures, and circuit_breaker.py
leaves endpoints alone that do not answer.
"""

from deployments.reconciler.loop import reconcile

__all__ = ["reconcile"]

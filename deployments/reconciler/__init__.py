"""Keeps what runs in step with what the rows say, in both directions.

One pass over one cluster (loop.py) observes its endpoints, assesses each attempt, writes the
outcome to the rows, starts and stops replicas, and removes replicas that no row wants. A pass keeps
no state in memory: it reads rows and runtimes, each call is idempotent, and each write names the
state that it expects. A worker may therefore be killed between any two lines; the next pass
continues.

Beside the passes, watcher.py requests a pass as soon as an endpoint reports a change,
starts/image_pulls.py pulls images on threads of their own, lifecycle/retry_backoff.py ends the
pauses between attempts, circuit_breaker.py spares endpoints that do not answer, and
thread_shares.py keeps one organization's endpoints from taking every thread.
"""

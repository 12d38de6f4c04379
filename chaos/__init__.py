"""Breaks a running platform on purpose; checks that nothing is lost, and how soon it serves again.

Programs of this package know the platform from outside: its Procfile and compose.yaml, its API, its
tables, its Redis. None imports Django.
"""

"""The process that knows when: `python -m scheduler.timer`.

Several times a second it asks the database what is due by the database's clock, and sends the tasks
(turn.py). It decides nothing and remembers nothing, so any number of timers may run at once: each
thing that is due is asked for once, and a timer that is frozen or killed delays nothing while
another runs.
"""

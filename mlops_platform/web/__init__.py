"""The web server between gunicorn and Django: an event loop, so that no connection takes a thread.

`connection.py` receives requests, bounded in bytes and in time. `application.py` hands whole ones
to `fair_threads.py`, whose threads run Django (`wsgi_call.py`), and sends the answers.
`streaming.py` serves those that go on for long. `worker.py` starts it in gunicorn's processes.
"""

"""The members' pages: what runs, what waits and why, live, for people with a browser.

A page is three modules of one name: `pages/` makes its data, a frozen dataclass, by the queries and
services of the API; `views/` parses the request, calls it and answers; `templates/console/` shows
it. Nothing imports this package but the URLs.
"""

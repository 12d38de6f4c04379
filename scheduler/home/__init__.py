"""The operators' home: whether all is well, where it is not, and who has most allocated.

`page.home` makes it, with few queries, each of which PostgreSQL ends after a moment: a home that is
needed most while the database is slow must not wait for it. What could not be read is shown as
unknown.
"""

"""Glue that every app's doors share: errors, strict fields, parsing, paging, throttles, schema.

Knows no app. Whatever an app needs to answer the REST contract in one way stands here once.
"""

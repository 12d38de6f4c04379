"""Types of answers besides JSON."""

from rest_framework.renderers import JSONRenderer


class PlainTextRenderer(JSONRenderer):
    """Lets a client ask for `text/plain`. The view writes the text, and errors stay JSON."""

    media_type = "text/plain"
    format = "txt"


class CsvRenderer(JSONRenderer):
    """Lets a client ask for `text/csv`. The view writes the lines, and errors stay JSON."""

    media_type = "text/csv"
    format = "csv"


class EventStreamRenderer(JSONRenderer):
    """Lets a client ask for `text/event-stream`: Server-Sent Events. Errors stay JSON."""

    media_type = "text/event-stream"
    format = "sse"

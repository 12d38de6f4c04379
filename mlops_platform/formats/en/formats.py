"""As logs write them, with seconds and the zone, so that the two can be laid side by side."""

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s e"

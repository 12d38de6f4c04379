"""A copy of the whole database in one file, and the way back.

The file has the rows of all tables as PostgreSQL's COPY writes them, at one moment, and the names
of the migrations that made the tables. So a backup needs no program beside Python, any later
version can restore it on any PostgreSQL, and a restore builds the tables as an installation does.
"""

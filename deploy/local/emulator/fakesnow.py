"""Serves fakesnow, a SQL engine behind Snowflake's protocol, on a port of this machine.

usage: python fakesnow.py PORT

Prints READY, and ends when its standard input ends, so that it does not outlive its parent process.

It corrects three differences to Snowflake: an error of the engine has a number instead of being an HTTP
500, a NULL timestamp arrives as NULL, and sessions have the one warehouse that exists. For this it replaces
private functions, so the versions in requirements.txt are pinned.
"""

import signal
import sys
import tempfile

# Ctrl-C in a terminal also reaches the parent process, which may need the emulator a little longer.
signal.signal(signal.SIGINT, signal.SIG_IGN)

# fakesnow creates a folder for stages at import and never deletes it. This folder, which contains it,
# is deleted at the end.
folder = tempfile.TemporaryDirectory(prefix="echo-in-snowflake-", ignore_cleanup_errors=True)
tempfile.tempdir = folder.name

import duckdb
import fakesnow
import pyarrow as pa
import pyarrow.compute as pc

serve = fakesnow.server  # the imports below replace it by a module
import fakesnow.arrow
import fakesnow.cursor
import fakesnow.transforms.show
from snowflake.connector.errors import ProgrammingError


def number(e: duckdb.Error) -> tuple[int, str]:
    """Returns Snowflake's number and SQLSTATE for the errors that the service distinguishes."""
    text = str(e)
    if isinstance(e, duckdb.ConstraintException):
        return (100072, "22000") if "NOT NULL" in text else (200001, "22000")
    if isinstance(e, duckdb.TransactionException):
        # The engine fails immediately where Snowflake waits for a lock.
        return (625, "57014") if "onflict" in text else (90150, "25000")
    return 1003, "42000"


plain_execute = fakesnow.cursor.FakeSnowflakeCursor._execute


def execute(self, transformed, params=None):
    try:
        return plain_execute(self, transformed, params)
    except (
        duckdb.ConstraintException,
        duckdb.TransactionException,
        duckdb.InvalidInputException,
        duckdb.OutOfRangeException,
    ) as e:
        errno, state = number(e)
        raise ProgrammingError(msg=str(e).splitlines()[0], errno=errno, sqlstate=state) from e


plain_timestamps = fakesnow.arrow.timestamp_to_sf_struct


def timestamps(column):
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    parts = plain_timestamps(column)
    fields = [parts.type.field(i) for i in range(parts.type.num_fields)]
    values = [pc.fill_null(parts.field(i), 0) for i in range(parts.type.num_fields)]
    return pa.StructArray.from_arrays(values, fields=fields, mask=pc.is_null(column))


fakesnow.cursor.FakeSnowflakeCursor._execute = execute
fakesnow.arrow.timestamp_to_sf_struct = timestamps
show = fakesnow.transforms.show
show.SQL_SHOW_WAREHOUSES = show.SQL_SHOW_WAREHOUSES.replace("'N' as is_current", "'Y' as is_current")

with serve(port=int(sys.argv[1])):
    print("READY", flush=True)
    sys.stdin.read()

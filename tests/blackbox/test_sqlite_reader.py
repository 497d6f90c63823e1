"""A backup or a shell that keeps a read of the SQLite file open: no request waits for it."""

import contextlib
import os
import sqlite3
import time

import pytest

from client import Api
from stack import wait_until
from test_metrics import monitored  # a fixture

pytestmark = [pytest.mark.stores("sqlite"), pytest.mark.slow]

LIMIT = 64 * 1024 * 1024  # of the write-ahead log
READER, WAL = "testflinger_sqlite_reader_seconds", "testflinger_sqlite_wal_bytes"


def post(api, queue, times):
    """Submits jobs of 1 MB; returns how long all took."""
    begin = time.monotonic()
    for _ in range(times):
        api.submit(queue, test_data={"test_cmds": "x" * 1_000_000})
    return time.monotonic() - begin


@contextlib.contextmanager
def reader(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM jobs").fetchall()
        yield


def test_long_reader(monitored, queue):
    server = monitored()
    path = server.stack.store.removeprefix("sqlite:")
    size = lambda: os.stat(path + "-wal").st_size
    api = Api(server.stack.url)
    post(api, queue, 4)
    quiet = post(api, queue, 30)
    with reader(path):
        for _ in range(200):
            if size() > LIMIT:
                break
            post(api, queue, 1)
        assert size() > LIMIT
        # Waiting for the reader would take 2 s every 4 posts.
        assert post(api, queue, 30) < max(6 * quiet, 10)
        wait_until(lambda: server.value("worker", READER) >= 10, "the reader's age is seen", 30)
        assert LIMIT < server.value("worker", WAL) <= size()
        post(api, queue, 20)  # each worker asks for a checkpoint
        wait_until(lambda: server.stack.log_contains("a program has been reading the database"), "a warning")
    wait_until(lambda: size() < LIMIT and server.value("worker", READER) == 0, "the log is copied and emptied")
    assert post(api, queue, 10) < max(6 * quiet, 4)


def test_many_writers_do_not_let_the_log_grow(private, queue):
    """Without a reader its size stays near the limit, however fast the writers are."""
    stack = private(workers=3)
    path = stack.store.removeprefix("sqlite:")
    api = Api(stack.url)
    for _ in range(20):
        post(api, queue, 10)
        assert os.stat(path + "-wal").st_size < 2 * LIMIT

"""Which worker a broker gives requests, and when (docs/protocol.md, "Order and bundles")."""

import re
import time

import pytest

from stack import ROOT
from test_broker import BEAT, broker, start  # noqa: F401 (fixtures)

pytestmark = pytest.mark.waits

WRITER_S = 0.4  # GATHER_WRITER_US of broker/gather.h, less what a message may take


def subject(operation):
    """Of a request; it stands at the place of the window."""
    row = re.search(rf"{operation},[^)]*?\.wire = (\d+)", (ROOT / "common/api.def").read_text())
    return int(row[1]) + 1 << 24


def occupy(frontend, workers):
    """One request in the hand of each worker, whom nobody waits for any more."""
    for _ in workers:
        time.sleep(BEAT)
        frontend.request()
    return [worker.ids() for worker in workers]


def test_workers_gather(broker):
    """The first worker that is ready gets all that waits."""
    frontend, workers = broker.frontend(), [broker.worker(), broker.worker()]
    first = occupy(frontend, workers)
    ids = frontend.requests(8)
    time.sleep(BEAT)
    workers[0].reply(*first[0])
    assert workers[0].ids() == ids
    workers[1].reply(*first[1])
    assert workers[1].silent()


class Slow(Exception):
    """The machine was so busy that others may write in the place of a worker."""


def writers_take_turns(broker):
    frontend, workers = broker.frontend(), [broker.worker(ready=False) for _ in range(3)]
    for worker in workers:
        worker.ready(one_writer=1)
    time.sleep(BEAT)
    begin = time.monotonic()

    def handed(worker, ids):
        try:
            assert worker.silent(BEAT) if ids is None else worker.ids(seconds=WRITER_S) == ids
        except AssertionError:
            if time.monotonic() - begin > WRITER_S:
                raise Slow from None
            raise

    first = frontend.request(window=subject("OP_JOB_ADD"))
    handed(workers[2], [first])
    writes = frontend.requests(2, window=subject("OP_JOB_ADD"))
    handed(workers[1], None)
    read = frontend.request(window=subject("OP_JOB_GET"))
    handed(workers[1], [read])
    workers[2].reply(first)
    handed(workers[2], writes)
    begin = time.monotonic()
    claim = frontend.request(window=subject("OP_JOB_CLAIM"))
    handed(workers[0], None)
    assert workers[0].ids() == [claim]  # the writer may hang


def test_one_writer(start):
    """Workers whose store has one writer write in turn; others read meanwhile."""
    for _ in range(10):
        try:
            return writers_take_turns(start())
        except Slow:
            pass
    raise AssertionError("the machine is too busy")


def test_many_writers(broker):
    """Workers of an earlier release, or with another store, do not wait for each other."""
    frontend, workers = broker.frontend(), [broker.worker() for _ in range(2)]
    ids = []
    for worker in reversed(workers):
        ids.append(frontend.request(window=subject("OP_JOB_ADD")))
        assert worker.ids(seconds=BEAT) == ids[-1:]


def test_key_is_gathered(broker):
    """A lane goes along as a whole."""
    frontend, workers = broker.frontend(), [broker.worker() for _ in range(4)]
    hands = occupy(frontend, workers)
    a = [frontend.request(key=b"a")]
    plain = frontend.requests(3)
    a += frontend.requests(35, key=b"a")
    time.sleep(BEAT)
    workers[0].reply(*hands[0])
    assert workers[0].ids() == a[:32]
    workers[1].reply(*hands[1])
    assert workers[1].ids() == plain
    workers[0].reply(*a[:32])
    assert workers[0].ids() == a[32:]

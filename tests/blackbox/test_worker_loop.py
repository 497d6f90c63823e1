"""The loop of a worker: one that hangs is ended and others get its requests; it stops under full load."""

import re
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from client import Api, expect
from mongo import Mongod
from stack import BIN, Stack, running, wait_until
from test_attack_bus import HEADERS, PlayedBroker, envelope
from test_broker import (API, BYE, HELLO, PING, READY, REPLY, REQUEST, broker, pack, start, unpack)
from test_late import ready_of

zmq = pytest.importorskip("zmq")

pytestmark = [pytest.mark.waits, pytest.mark.slow, pytest.mark.stores("sqlite")]


def submission(id_):
    headers = [None, None, b"application/json"] + [None] * (HEADERS - 3)
    return envelope(id_, "OP_JOB_ADD", _7=headers, _9=b'{"job_queue": "q"}')


class Saturating(threading.Thread):
    """Brokers that always have bundles for the worker of a bus."""

    def __init__(self, folder, brokers):
        super().__init__()
        self.context = zmq.Context()
        self.poller, self.sockets = zmq.Poller(), []
        for k in range(brokers):
            self.sockets.append(self.context.socket(zmq.ROUTER))
            self.sockets[k].bind(f"ipc://{folder}/broker-{k}.workers")
            self.poller.register(self.sockets[k], zmq.POLLIN)
        self.over = threading.Event()
        self.answered, self.said_bye = 0, {}

    def _bundle(self, socket, peer):
        ids = [uuid.uuid4().bytes for _ in range(4)]
        socket.send_multipart([peer, *(f for i in ids for f in (pack(REQUEST, id=i), submission(i)))])

    def _take(self, socket):
        peer, head, *_ = frames = socket.recv_multipart()
        if not head:
            socket.send_multipart([peer, pack(HELLO, instance=7), b""])
            return
        head = unpack(head)
        if head["type"] == BYE and head["service"] == API:
            self.said_bye[socket] = time.monotonic()
        elif head["service"] == API and head["type"] == READY:
            for _ in range(200):  # it does not run out; after BYE it serves what is left within --grace
                self._bundle(socket, peer)
        elif head["type"] == REPLY:
            self.answered += (len(frames) - 1) // 2
            if socket not in self.said_bye:
                self._bundle(socket, peer)

    def run(self):
        while not self.over.is_set():
            for socket, _ in self.poller.poll(100):
                self._take(socket)
        self.context.destroy(linger=0)


def test_end_is_seen_under_full_load(store):
    """TERM, while four brokers always have a bundle for the worker: all hear BYE within 0.5 s."""
    delays = [end_under_full_load()]
    while min(delays) > 0.5 and len(delays) < 5:  # other tests may have kept the processors
        delays.append(end_under_full_load())
    assert min(delays) < 0.5, delays


def end_under_full_load():
    """Seconds from TERM to the last BYE."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:  # short: paths of sockets have 107 bytes
        return end_under_load_in(Path(folder))


def end_under_load_in(folder):
    bus = folder / "bus"
    bus.mkdir(mode=0o700)
    brokers = Saturating(bus, 4)
    brokers.start()
    worker = subprocess.Popen([BIN / "testflinger-worker", "--bus", bus, "--brokers", "4", "--processes", "1",
                               "--store", f"sqlite:{folder}/data.db"],
                              cwd=folder, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: brokers.answered > 1000, "it is under load")
        told = time.monotonic()
        worker.terminate()
        wait_until(lambda: len(brokers.said_bye) == 4, "it says BYE")
        assert worker.wait(20) == 0
        return max(brokers.said_bye.values()) - told
    finally:
        worker.kill()
        brokers.over.set()
        brokers.join()


@contextmanager
def locked(path, seconds):
    """Nobody else can write to the database for a while."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    yield
    time.sleep(seconds)
    db.execute("ROLLBACK")
    db.close()


def test_requests_that_waited_for_a_worker_that_hung(store, tmp_path):
    """The worker answers requests that it had begun, and drops those that came meanwhile: others may have them."""
    database = tmp_path / "data.db"
    with PlayedBroker(tmp_path, "workers", "worker", "--store", f"sqlite:{database}", "--store-timeout", 10000,
                      "--work-timeout", 5000) as broker:
        peer = ready_of(broker, API)
        for _ in range(5):  # a busy machine may stop the worker before it has begun; then it joins anew
            begun, waited = uuid.uuid4().bytes, uuid.uuid4().bytes
            with locked(database, 4):
                broker.send(peer, pack(REQUEST, id=begun), submission(begun))
                time.sleep(0.3)
                broker.send(peer, pack(REQUEST, id=waited), envelope(waited))
            heads = ((p, pairs[0][0]) for p, pairs in (broker.take(READY, REPLY) for _ in range(9)))
            heads = ((p, h) for p, h in heads if h["type"] == REPLY or h["service"] == API)
            peer, first = next(heads)
            if first["type"] == REPLY:
                break
        assert first["id"] == begun
        assert next(heads)[1]["type"] == READY  # over a new connection


def test_worker_that_keeps_a_request_too_long(store, start):
    """Others get what it has, as a repeat, and the key's lane goes on. It may join anew."""
    broker = start("--work-timeout", 5000)
    frontend, hung = broker.frontend(), broker.worker()
    first = frontend.request(key=b"a", ttl=60000)
    assert hung.ids() == [first]
    second = frontend.request(key=b"a", ttl=60000)
    late = frontend.request(ttl=2000)  # rejected while it waits
    assert frontend.rejection() == (late, "ERR_TIMEOUT")
    other = broker.worker()
    got = other.bundle(seconds=8)
    assert [(r["id"], r["attempt"]) for r in got] == [(first, 1), (second, 0)]
    hung.get(PING, want=HELLO)
    hung.reply(first, payload=b"late")
    other.reply(first, second, payload=b"right")
    assert [frontend.answer()["payload"] for _ in range(2)] == [b"right"] * 2
    other.close()
    hung.ready()
    last = frontend.request()
    assert hung.ids() == [last]
    assert "for more than --work-timeout, 5000 ms: its 1 requests go to others" in broker.log()


@pytest.mark.stores("mongodb")
def test_worker_that_hangs_in_the_store_is_replaced(store):
    """Its driver would wait for minutes; the master logs its stack and starts another."""
    mongod = Mongod()
    try:
        uri = mongod.uri("hang") + "?socketTimeoutMS=600000"
        with Stack(uri, "--store-timeout", 200, "--watchdog", 3, workers=1) as stack, \
                ThreadPoolExecutor(1) as pool:
            hung = stack.children("worker")[0]
            mongod.process.send_signal(signal.SIGSTOP)
            asked = pool.submit(Api(stack.url).submit, "q")
            wait_until(lambda: not running([hung]), "it is ended", 15)
            mongod.process.send_signal(signal.SIGCONT)
            stack.undisturbed = None
            wait_until(stack.is_complete, "another has taken its place")
            log = stack.log()
            assert "its event loop has not turned for 3 s" in log
            stack_text = log[log.index("stack of the process that is aborted"):]
            assert re.search(r"\(mongoc_\w+\+0x", stack_text) and "testflinger-worker" in stack_text
            assert asked.exception() is None
            expect(Api(stack.url).get("/v1/agents/data"), 200)
    finally:
        mongod.remove()


@pytest.mark.stores("mongodb")
def test_store_that_stands_still_is_no_hang(store):
    """The calls of workers end by their own limits: clients get 503 in time, and nobody is replaced."""
    mongod = Mongod()
    try:
        with Stack(mongod.uri("still"), "--store-timeout", 500, "--watchdog", 4, webhooks=1) as stack:
            api, before = Api(stack.url), set(stack.tree())
            mongod.process.send_signal(signal.SIGSTOP)
            end, answers = time.monotonic() + 12, []
            while time.monotonic() < end:
                answers.append(api.get(f"/v1/result/{uuid.uuid4()}"))
            mongod.process.send_signal(signal.SIGCONT)
            assert {a.status_code for a in answers} == {503}
            assert all(a.headers["Retry-After"] for a in answers)
            wait_until(lambda: api.get("/readyz").status_code == 200, "it serves again")
            assert set(stack.tree()) == before
    finally:
        mongod.remove()

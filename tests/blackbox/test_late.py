"""A process that did not run for longer than its peers wait (SIGSTOP): others have its requests by then,
so it drops what it has not begun and joins the bus anew. Nothing is doubled, lost or out of order."""

import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from client import Api, expect, new_id
from stack import Port, wait_until
from test_attack_bus import PlayedBroker, envelope, is_open
from test_broker import API, HELLO, PING, READY, REPLY, REQUEST, broker, pack, start

msgpack = pytest.importorskip("msgpack")

pytestmark = [pytest.mark.waits, pytest.mark.slow]

PAUSES = (3, 4.5, 2)


class Stream(threading.Thread):
    """Submits jobs with ids of its own, and posts lines and results to a job of its own. What had no
    answer is not sent again: it may have been carried out once or not at all."""

    def __init__(self, url, queue, number):
        super().__init__()
        self.api, self.queue, self.number = Api(url), queue, number
        self.job_id = self.api.submit(f"{queue}-{number}")
        self.over = threading.Event()
        self.jobs, self.unknown_jobs = set(), set()
        self.lines, self.unknown_lines = [], set()
        self.result, self.unknown_results = None, set()
        self.fault = None

    def _post(self, path, **body):
        """True: 200; false: it has no answer."""
        try:
            response = self.api.request("POST", path, timeout=12, **body)
        except requests.RequestException:
            self.api = Api(self.api.url)
            return False
        if response.status_code in (503, 504):
            return False
        expect(response, 200)
        return True

    def run(self):
        try:
            n = 0
            while not self.over.wait(0.06):  # others use the processors, too
                n += 1
                self._step(n)
        except BaseException as fault:  # the test looks at it
            self.fault = fault

    def _step(self, n):
        job_id, line = new_id(), f"{self.number} {n}"
        ok = self._post("/v1/job", json={"job_queue": self.queue, "job_id": job_id})
        (self.jobs if ok else self.unknown_jobs).add(job_id)
        ok = self._post(f"/v1/result/{self.job_id}/output", data=line)
        if ok:
            self.lines.append(line)
        else:
            self.unknown_lines.add(line)
        if self._post(f"/v1/result/{self.job_id}", json={"test_output": line}):
            self.result, self.unknown_results = line, set()
        else:
            self.unknown_results.add(line)

    def check(self, api):
        assert self.fault is None, self.fault
        found = api.get(f"/v1/result/{self.job_id}/output").text.splitlines()
        assert len(found) == len(set(found)), "a line is there twice"
        assert set(self.lines) <= set(found) <= set(self.lines) | self.unknown_lines
        assert [line for line in found if line in set(self.lines)] == self.lines
        result = expect(api.get(f"/v1/result/{self.job_id}"), 200).json()["test_output"]
        assert result in {self.result} | self.unknown_results


def claim_all(api, queue):
    found = []
    while (response := api.claim(queue)).status_code == 200:
        found.append(response.json()["job_id"])
    expect(response, 204)
    return found


@pytest.mark.parametrize("role", ["worker", "broker", "frontend"])
def test_stream_while_a_process_is_stopped(private, role, queue):
    stack = private(workers=3, brokers=2, frontends=2)
    streams = [Stream(stack.url, queue, n) for n in range(6)]
    for stream in streams:
        stream.start()
    for seconds in PAUSES:
        time.sleep(0.5)
        victim = stack.children(role)[0]
        stack.freeze([victim])
        time.sleep(seconds)
        stack.thaw([victim])
    time.sleep(1)
    for stream in streams:
        stream.over.set()
    for stream in streams:
        stream.join()
    api = Api(stack.url)
    for stream in streams:
        stream.check(api)
    found = claim_all(api, queue)
    acknowledged = set().union(*(s.jobs for s in streams))
    assert len(found) == len(set(found)), "a job was handed out twice"
    assert acknowledged <= set(found) <= acknowledged.union(*(s.unknown_jobs for s in streams))
    wait_until(lambda: stack.log().count("did not run for") >= len(PAUSES), "it is logged")


# One process alone, with peers of this file that do not notice the pause

bus = pytest.mark.stores("sqlite")  # no store is asked
PAUSE = 2.5


@contextmanager
def stopped(process, seconds=PAUSE):
    """A master and the processes that it has forked do not run for a while."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *children):
        os.kill(int(pid), signal.SIGSTOP)
    yield
    time.sleep(seconds)
    for pid in (*children, process.pid):
        os.kill(int(pid), signal.SIGCONT)


def ready_of(broker, service):
    while True:
        peer, pairs = broker.take(READY)
        if pairs[0][0]["service"] == service:
            return peer


@bus
@pytest.mark.parametrize("seconds", [0.3, PAUSE])
def test_worker_runs_nothing_late(store, tmp_path, seconds):
    """After a long pause the worker drops what it was sent before; after a short one it runs it."""
    with PlayedBroker(tmp_path, "workers", "worker", "--store", f"sqlite:{tmp_path}/data.db") as broker:
        before, late, id_ = ready_of(broker, API), uuid.uuid4().bytes, uuid.uuid4().bytes
        with stopped(broker.process, seconds):
            broker.send(before, pack(REQUEST, id=late), envelope(late))
        worker = before if seconds < 1 else ready_of(broker, API)
        assert (worker == before) == (seconds < 1)
        broker.send(worker, pack(REQUEST, id=id_), envelope(id_))
        answered = [broker.take(REPLY)[1][0][0]["id"] for _ in range(1 + (worker == before))]
        assert answered == ([late, id_] if worker == before else [id_])


@bus
def test_worker_joins_anew_after_a_lost_connection(store, tmp_path):
    """A second HELLO over a socket means that the broker gave its requests, read or not, to other workers."""
    with PlayedBroker(tmp_path, "workers", "worker", "--store", f"sqlite:{tmp_path}/data.db") as broker:
        before = ready_of(broker, API)
        broker.send(before, pack(HELLO, instance=7), b"")
        assert ready_of(broker, API) != before


@bus
def test_frontend_asks_again_after_a_pause(store, tmp_path):
    """Over new connections, and as a repeat; the answer to the first request comes too late."""
    port = Port()
    with PlayedBroker(tmp_path, "frontends", "frontend", "--listen",
                      f"127.0.0.1:{port.number}") as broker, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{port.number}"
        wait_until(lambda: is_open(port.number), "the frontend listens")
        asked = pool.submit(Api(url).get, f"/v1/result/{new_id()}")
        before, ((head, _),) = broker.take(REQUEST)
        assert head["attempt"] == 0
        with stopped(broker.process):
            pass
        after, ((again, _),) = broker.take(REQUEST)
        assert after != before and (again["id"], again["attempt"]) == (head["id"], 1)
        broker.send(after, pack(REPLY, id=head["id"]), msgpack.packb({0: 1, 1: 204, 2: [], 3: b""}))
        assert asked.result(timeout=5).status_code == 204
    port.release()


@bus
def test_broker_forgets_all_after_a_pause(store, broker):
    """What it held was sent to other brokers meanwhile: it is another instance that knows nothing."""
    frontend, worker = broker.frontend(), broker.worker()
    held = frontend.request(key=b"a")
    assert worker.ids() == [held]
    frontend.request(key=b"a")
    with stopped(broker.process):
        frontend.request()
    for peer in (frontend, worker):
        assert peer.get(PING, want=HELLO)[0]["instance"] != peer.hello["instance"]
    worker.reply(held)
    worker.ready()
    assert worker.silent() and frontend.silent()
    assert "did not run for" in broker.log()
    broker.serves()


@bus
def test_window_of_a_worker_that_is_gone_when_more_comes(store, start):
    """Requests sent before may have begun, so they count as repeats; unsent ones do not."""
    broker = start("--heartbeat", 60000)
    frontend, worker = broker.frontend(), broker.worker(window=10)
    begun = frontend.request()
    assert worker.ids() == [begun]
    worker.close()
    time.sleep(0.5)  # the broker's end of the connection
    unsent = frontend.request()
    other, got = broker.worker(window=10), []
    while len(got) < 2:
        got += other.bundle()
    assert [(r["id"], r["attempt"]) for r in got] == [(begun, 1), (unsent, 0)]

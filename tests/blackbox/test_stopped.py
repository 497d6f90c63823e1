"""A process that is stopped (SIGSTOP) while its master runs: it is killed after a second, since it may hold
locks that others wait for. Those that their masters cannot replace in time: test_late.py."""

import signal
import threading
import time

import pytest
import requests

from client import Api, expect
from stack import running, wait_until

pytestmark = [pytest.mark.waits, pytest.mark.slow, pytest.mark.stores("sqlite")]


class Posts(threading.Thread):
    """Submits jobs until it is told to end."""

    def __init__(self, url, queue):
        super().__init__()
        self.api, self.queue, self.over = Api(url), queue, threading.Event()
        self.acknowledged = []

    def run(self):
        while not self.over.wait(0.01):  # others use the processors, too
            try:
                response = self.api.post("/v1/job", {"job_queue": self.queue})
            except requests.ConnectionError:  # its frontend is killed
                continue
            if response.status_code == 200:
                self.acknowledged.append(response.json()["job_id"])


@pytest.mark.parametrize("role", ["worker", "broker", "frontend", "webhook"])
def test_a_stopped_process_is_replaced(private, queue, role):
    """Posts go on although nobody continues it. A worker is stopped several times: it holds the lock of the
    SQLite file in most of them."""
    stack = private(workers=3, webhooks=1)
    posts = [Posts(stack.url, queue) for _ in range(4)]
    for thread in posts:
        thread.start()
    try:
        for _ in range(3 if role == "worker" else 1):
            wait_until(stack.is_complete, "all processes are there")
            time.sleep(0.5)
            stopped = stack.children(role)[0]
            stack.signal(signal.SIGSTOP, [stopped])
            wait_until(lambda: not running([stopped]), "it is killed")
            before = [len(t.acknowledged) for t in posts]
            wait_until(lambda: all(len(t.acknowledged) > n for t, n in zip(posts, before)), "posts go on")
        wait_until(stack.is_complete, "another has taken its place")
    finally:
        for thread in posts:
            thread.over.set()
        for thread in posts:
            thread.join()
    assert stack.log_contains("has been stopped by a signal for 1000 ms; killing it")
    api = Api(stack.url)
    acknowledged = [j for t in posts for j in t.acknowledged]
    assert {api.state(j) for j in acknowledged} == {"waiting"}
    assert expect(api.get(f"/v1/queues/{queue}/jobs"), 200) and len(set(acknowledged)) == len(acknowledged)


def test_stopped_processes_without_a_watchdog(private):
    """--watchdog 0: nobody is killed, however long it takes."""
    stack = private("--watchdog", 0)
    worker = stack.children("worker")[0]
    stack.signal(signal.SIGSTOP, [worker])
    time.sleep(2.5)
    assert running([worker])
    stack.signal(signal.SIGCONT, [worker])
    expect(Api(stack.url).get("/v1/agents/data"), 200)

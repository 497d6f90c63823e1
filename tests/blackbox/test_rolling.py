"""Processes are replaced, added and removed while the server works; exit statuses and last log lines."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from client import Api, Raw, expect, expect_none, new_id
from stack import Stack, wait_until

# Masters replace their children in the same way whatever store there is; only what is in hand
# meanwhile is the store's, too.
pytestmark = pytest.mark.stores("sqlite")

ROLES = ("frontend", "broker", "worker")


@contextmanager
def load(url, queue, clients=4):
    """Clients with kept connections that submit jobs and read them back; nothing may fail, and no job may
    be missing in the end."""
    over, jobs = threading.Event(), []

    def work():
        api = Api(url)
        while not over.wait(0.01):  # others use the processors, too
            job_id = api.submit(queue)
            expect(api.get(f"/v1/job/{job_id}"), 200)
            jobs.append(job_id)

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(work) for _ in range(clients)]
        try:
            yield jobs
        finally:
            over.set()
        for each in running:
            each.result()
    api = Api(url)
    assert jobs and {api.state(job_id) for job_id in jobs[::10]} == {"waiting"}


def master(stack, role):
    (pid,) = set(stack.pids(role)) - set(stack.forked(role))
    return pid


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
def test_reload_under_load(private, queue):
    """HUP replaces all processes one by one; the masters stay."""
    stack = private("--heartbeat", 100, frontends=2, workers=2, brokers=2)
    before = {role: set(stack.forked(role)) for role in ROLES}
    masters = {role: master(stack, role) for role in ROLES}
    fewest = dict(stack.counts)
    with load(stack.url, queue):
        stack.signal(signal.SIGHUP, [stack.process.pid])

        def rolled():
            for role in ROLES:
                # A look takes its time: it misses what ends meanwhile and what starts meanwhile.
                seen = max(len(stack.children(role)), len(stack.children(role)))
                fewest[role] = min(fewest[role], seen)
            return all(not before[role] & set(stack.forked(role)) for role in ROLES)

        wait_until(rolled, "all are replaced", 30)
        wait_until(stack.is_complete, "all are there")
    assert {role: master(stack, role) for role in ROLES} == masters
    # A process that ends is one that is told to end, and its successor comes after it.
    assert all(n >= stack.counts[role] - 1 for role, n in fewest.items()), fewest


def wait_of_new_connections(stack, queue, condition):
    """Submits jobs, each on a connection of its own, until the condition is true; returns the longest time
    that one took."""
    longest, end = 0, time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not within 30 s"
        started = time.monotonic()
        expect(requests.post(f"{stack.url}/v1/job", json={"job_queue": queue}, timeout=20), 200)
        longest = max(longest, time.monotonic() - started)
    return longest


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
def test_reload_with_slow_clients(private, queue):
    """One child of each role: a new one serves before the old one ends. A request and an upload that have
    begun go on beyond the grace time; new connections do not wait for them."""
    stack = private("--heartbeat", 100, "--grace", 2, workers=1)
    before = {role: set(stack.forked(role)) for role in ROLES}
    job = Api(stack.url).submit(queue)
    file = b"x" * 3_000_000
    body = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file +
            b"\r\n--B--\r\n")
    with Raw(stack) as half, Raw(stack) as upload:
        half.send(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n")
        upload.send(f"POST /v1/result/{job}/artifact HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                    "Content-Type: multipart/form-data; boundary=B\r\n\r\n".encode() + body[:1_000_000])
        time.sleep(0.2)
        stack.signal(signal.SIGHUP, [stack.process.pid])
        began = time.monotonic()

        def rolled():
            others = all(not before[role] & set(stack.forked(role)) for role in ("broker", "worker"))
            return others and time.monotonic() - began > 4

        longest = wait_of_new_connections(stack, queue, rolled)
        assert before["frontend"] < set(stack.forked("frontend"))  # its successor serves, too
        half.send(b"\r\n")
        assert half.reply().status_code == 200
        upload.send(body[1_000_000:])
        assert upload.reply().status_code == 200
    assert longest < 10  # one that waited for them would wait until the end of this loop
    assert Api(stack.url).get(f"/v1/result/{job}/artifact").content == file
    wait_until(stack.is_complete, "the old ones are gone")
    assert not any(before[role] & set(stack.forked(role)) for role in ROLES)


@pytest.mark.slow
def test_more_and_fewer_workers(private, queue):
    """TTIN and TTOU to the launcher: workers; to a master: its role."""
    stack = private("--heartbeat", 100, workers=1)
    steps = [(stack.process.pid, signal.SIGTTIN, "worker", 2), (stack.process.pid, signal.SIGTTIN, "worker", 3),
             (master(stack, "frontend"), signal.SIGTTIN, "frontend", 2),
             (stack.process.pid, signal.SIGTTOU, "worker", 2), (stack.process.pid, signal.SIGTTOU, "worker", 1),
             (master(stack, "frontend"), signal.SIGTTOU, "frontend", 1)]
    with load(stack.url, queue) as jobs:
        for pid, sig, role, n in steps:
            stack.signal(sig, [pid])
            stack.counts[role] = n
            wait_until(stack.is_complete, f"{n} of {role}")
            wait_until(lambda before=len(jobs): len(jobs) > before, "it serves")
    stack.signal(signal.SIGTTOU, [stack.process.pid])
    wait_until(lambda: stack.log_contains("one child has to stay"), "the last one stays")
    assert len(stack.children("worker")) == 1


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("role", ROLES)
def test_a_child_that_dies_at_its_start(private, role):
    """Its successors start with growing pauses, without one again after a long life."""
    stack = private("--heartbeat", 100)
    end, killed = time.monotonic() + 2.5, set()
    while time.monotonic() < end:
        for pid in stack.children(role):
            if pid not in killed:
                killed.add(pid)
                stack.signal(signal.SIGKILL, [pid])
        time.sleep(0.01)
    n = stack.counts[role]
    # At once, then after 0.2, 0.4, 0.8 and 1.6 s.
    assert 3 * n <= len(killed) <= 6 * n
    wait_until(stack.is_complete, "it is there again")
    api = Api(stack.url)
    wait_until(lambda: answers(api) == 204, "it serves")


def answers(api):
    try:
        return api.get(f"/v1/job/{new_id()}").status_code
    except requests.ConnectionError:
        return None


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
def test_end_answers_what_was_accepted(store_uri, queue):
    """Requests that were read when TERM came, and those that have only just been sent."""
    stack = Stack(store_uri(), workers=1).start()
    workers = stack.children("worker")
    stack.freeze(workers)
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(Api(stack.url).post, "/v1/job", {"job_queue": queue}) for _ in range(12)]
        time.sleep(0.5)
        stack.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        stack.thaw(workers)
        jobs = [expect(w.result(), 200).json()["job_id"] for w in waiting]
    assert stack.process.wait(20) == 0
    with Stack(stack.store) as second:
        assert {Api(second.url).state(job_id) for job_id in jobs} == {"waiting"}
    stack.port.release()


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_a_store_that_refuses_the_login(store, mongod):
    """Where no restart can help: exit status 2, with the reason in the last line."""
    uri = mongod.uri("refused").replace("mongodb://", "mongodb://nobody:wrong@")
    stack = Stack(uri)
    stack.launch()
    try:
        assert stack.process.wait(20) == 2
        last = stack.log().splitlines()[-1]
        assert '"level": "error"' in last and "check user, password" in last
        assert "wrong" not in last and not stack.stdout()
    finally:
        if stack.process.poll() is None:
            stack.kill_all()
        stack.port.release()


def test_a_role_that_is_ended_from_outside(private):
    """TERM to a master: it drains; the launcher starts the role again."""
    stack = private("--heartbeat", 100)
    for role in ROLES:
        gone = master(stack, role)
        stack.signal(signal.SIGTERM, [gone])
        wait_until(lambda: gone not in stack.pids(role) and stack.is_complete(), f"a new {role}")
    api = Api(stack.url)
    wait_until(lambda: answers(api) == 204, "it serves")
    expect_none(api.get(f"/v1/job/{new_id()}"))

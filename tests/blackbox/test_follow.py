"""The stream of a job's events: in order, resumed, shared, bounded; through kills."""

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse

import pytest
import requests

import auth
from client import Api, expect, message, new_id
from stack import wait_until
from test_logs import body
from test_metrics import Monitored
from test_web_job import log, started
from web import HOSTILE

NASTY = HOSTILE + "\0\r\n\u2028\x7f\ud7ff\U0010ffff\r\r\x1b]0;x\x07\n\n data: x\nid: 9.9.9\n"
KIB, MIB = 1 << 10, 1 << 20


class Stream:
    """A client of /v1/job/ID/follow, or of another address."""

    def __init__(self, api, job, path="/v1/job/{}/follow", headers=(), **params):
        url = urllib.parse.urlsplit(api.url)
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        self.connection.request("GET", path.format(job) + query, headers=dict(headers))
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.answer.close()
        self.connection.close()

    def next(self):
        """{event, id, data}; None: the stream has ended."""
        event = {}
        while True:
            line = self.answer.readline().decode()
            if not line.endswith("\n"):
                return None
            name, _, value = line.rstrip("\n").partition(": ")
            if name and name not in (":", "retry"):
                event[name] = json.loads(value) if name == "data" else value
            elif event and not name:
                return event

    def until(self, wanted):
        """The events up to one that is as wanted."""
        events = []
        while not events or not wanted(events[-1]):
            event = self.next()
            assert event, f"the stream has ended behind {events}"
            events.append(event)
        return events

    def rest(self):
        """All further events."""
        return list(iter(self.next, None))


def unread(api, job):
    """A client of a stream that reads nothing yet, and whose system takes little."""
    url = urllib.parse.urlsplit(api.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect((url.hostname, url.port))
    client.sendall(f"GET /v1/job/{job}/follow HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    return client


def is_log(number, kind="output"):
    return lambda e: e["event"] == "log" and (e["data"]["n"], e["data"]["type"]) == (number, kind)


def logs(events, kind="output"):
    return [(e["data"]["n"], e["data"]["text"]) for e in events if e["event"] == "log" and e["data"]["type"] == kind]


def text_of(events, kind="output"):
    return "".join(text for _, text in logs(events, kind))


def end(api, job, **result):
    expect(api.post(f"/v1/result/{job}", {"status": {"test": 3}, **result}), 200)
    api.set_state(job, "complete")


def test_events_as_they_come(api, queue):
    """The same to all that watch, by both addresses; any text is text."""
    first, job = api.submit(queue), api.submit(queue)
    with Stream(api, job) as one, Stream(api, job, "/jobs/{}/follow") as other:
        for stream in (one, other):
            assert stream.status == 200
            assert stream.headers["Content-Type"] == "text/event-stream"
            assert stream.headers["Cache-Control"] == "no-store" and stream.headers["X-Accel-Buffering"] == "no"
            assert "Content-Encoding" not in stream.headers
            state = stream.next()
            assert state["event"] == "state" and state["data"]["state"] == "waiting"
            assert state["data"]["position"] == 1 and state["data"]["phases"] == []
        assert {api.claimed(queue), api.claimed(queue)} == {first, job}
        api.set_state(job, "test")
        log(api, job, "test", 0, "one\n")
        log(api, job, "test", 1, NASTY)
        log(api, job, "test", 0, "booting\n", kind="serial")
        end(api, job)
        seen = [stream.rest() for stream in (one, other)]
    for events in seen:
        assert logs(events) == [(0, "one\n"), (1, NASTY)] and logs(events, "serial") == [(0, "booting\n")]
        *_, state, last = [e for e in events if e["event"] != "log"]
        assert state["data"]["state"] == "complete" and state["data"]["outcome"]["failed"] == {"phase": "test", "code": 3}
        assert [(p["name"], p["outcome"], p["code"]) for p in state["data"]["phases"]] == [("test", "failed", 3)]
        assert last == events[-1] and last["event"] == "end" and last["data"] == {"state": "complete"}
        assert last["id"].startswith("2.1.")


def test_resumed_behind_each_event(api, queue):
    """Without a gap and without a double, also within a fragment of more than an event."""
    job = started(api, queue)
    texts = ["a\n", "é\x00" * 200 * KIB, "", "b\n", HOSTILE]
    for number, text in enumerate(texts):
        log(api, job, "test", number, text)
    log(api, job, "test", 7, "serial\n", kind="serial")
    end(api, job)
    with Stream(api, job, headers={"Accept-Encoding": "gzip"}) as stream:
        events = stream.rest()
    assert text_of(events) == "".join(texts)
    pieces = [e["data"] for e in events if e["event"] == "log" and e["data"]["n"] == 1]
    assert len(pieces) > 2 and all(len(p["text"].encode()) <= 256 * KIB for p in pieces)
    sent = 0
    for piece in pieces:
        assert piece["from"] == sent
        sent += len(piece["text"].encode())
    for i, event in enumerate(events):
        for how in ({"from": event["id"]}, {"headers": {"Last-Event-ID": event["id"]}, "from": "0.0.0"}):
            with Stream(api, job, **how) as stream:
                state, *others, last = stream.rest()
            assert (state["event"], state["data"]) == ("state", events[0]["data"]) and last == events[-1]
            for kind in ("output", "serial"):
                assert text_of(others, kind) == text_of(events[i + 1:], kind)


def test_fragments_of_one_number(api, queue):
    """All are told, also where a part of 256 KiB ends between two of them, and to who comes back."""
    job, texts = started(api, queue), ["x" * 258000] + [f"{i}\n" for i in range(40)]
    for text in texts:
        log(api, job, "test", 3, text)
    log(api, job, "setup", 3, "other phase\n")
    end(api, job)
    with Stream(api, job) as stream:
        events = stream.rest()
    assert sorted(filter(None, (text for _, text in logs(events)))) == sorted([*texts, "other phase\n"])
    places = [i for i, e in enumerate(events) if "+" in e["id"]]
    assert places
    with Stream(api, job, **{"from": events[places[-1]]["id"]}) as stream:
        assert text_of(stream.rest()) == text_of(events[places[-1] + 1:])


def test_what_is_refused(api, queue):
    job = api.submit(queue)
    for path in ("/v1/job/{}/follow", "/jobs/{}/follow"):
        expect(api.get(path.format(new_id())), 404)
        head = expect(api.request("HEAD", path.format(job)), 200)
        assert not head.content and head.headers["Content-Type"] == "text/event-stream"
        expect(api.post(path.format(job)), 405)
        for bad in ("", "x", "1", "1.2", "1.2.3.4", "-1.0.0", "1+x.0.0", "9" * 30 + ".0.0", "1..1", "0.0.0\0"):
            expect(api.get(path.format(job), params={"from": bad}), 422)
        expect(api.get(path.format(job), headers={"Last-Event-ID": "x"}), 422)
    expect(api.get("/v1/job/x/follow"), 400, message("Invalid job_id specified"))
    expect(api.get("/jobs/x%00/follow"), 404)


@pytest.mark.stores("sqlite")
def test_who_may_watch(login_server):
    """As who may see the job; who may not any more is cut off within a minute."""
    anyone, contributor = Api(login_server.url), auth.as_role("contributor")
    job = expect(anyone.post("/v1/job", {"job_queue": new_id()}, headers=contributor), 200).json()["job_id"]
    expect(anyone.get(f"/v1/job/{job}/follow"), 401)
    expect(anyone.get(f"/v1/job/{job}/follow", headers=auth.as_role("agent")), 403)
    expect(anyone.get(f"/jobs/{job}/follow", headers=contributor), 401)
    with Stream(anyone, job, headers=contributor) as stream:
        assert stream.status == 200 and stream.next()["event"] == "state"


@pytest.mark.slow
@pytest.mark.stores("sqlite")
def test_a_session_that_ends(login_server):
    from test_web_signin import Visitor, client_of
    anyone = Api(login_server.url)
    job = expect(anyone.post("/v1/job", {"job_queue": new_id()}, headers=auth.as_role("contributor")), 200).json()["job_id"]
    visitor = Visitor(login_server.url, client_of(login_server))
    with Stream(anyone, job, "/jobs/{}/follow", headers={"Cookie": visitor.cookie}) as stream:
        assert stream.next()["event"] == "state"
        visitor.act("/logout")
        assert stream.rest() == []


@pytest.mark.slow
@pytest.mark.stores("sqlite")
def test_what_a_watched_job_costs(private, queue):
    """One look a second, however many watch; clients that do not read are sent one part; a bounded number."""
    server = Monitored(private, "--max-streams", 6, webhooks=0)
    api, job = server.api, started(server.api, queue)

    def looks():
        return server.value("worker", "testflinger_worker_requests_total", method="GET", route="OP_FOLLOW_LOOK")

    def is_open(count):
        wait_until(lambda: server.value("frontend", "testflinger_http_streams") == count, f"{count} streams are open")

    streams = [Stream(api, job) for _ in range(6)]
    try:
        for stream in streams:
            assert stream.next()["event"] == "state"
        is_open(6)
        refused = expect(api.get(f"/v1/job/{job}/follow"), 503)
        assert refused.headers["Retry-After"]
        before, began = looks(), time.monotonic()
        for number in range(4):
            log(api, job, "test", number, "x\n")
            for stream in streams:
                assert logs(stream.until(is_log(number))) == [(number, "x\n")]
        assert looks() - before <= time.monotonic() - began + 2
    finally:
        for stream in streams:
            stream.close()
    is_open(0)
    job = started(api, queue)
    texts = [str(i) * MIB for i in range(8)]
    for number, text in enumerate(texts):
        log(api, job, "test", number, text)
    with Stream(api, job) as slow, Stream(api, job) as quick:
        events = quick.until(lambda e: e["event"] == "log" and e["id"].startswith("8."))
        assert text_of(events) == "".join(texts)
        assert server.value("frontend", "testflinger_http_memory_bytes") < MIB
        end(api, job)
        assert quick.rest()[-1]["event"] == "end"
        assert text_of(slow.rest()) == "".join(texts)
    is_open(0)
    # A stream that is over counts until its client has taken the last part.
    job = started(api, queue)
    log(api, job, "test", 0, "x" * 250_000)
    end(api, job)
    idle = [unread(api, job) for _ in range(6)]
    try:
        wait_until(lambda: server.value("frontend", "testflinger_http_memory_bytes") > MIB, "the parts are held")
        expect(api.get(f"/v1/job/{job}/follow"), 503)
        assert b"\nevent: end\n" in b"".join(iter(lambda: idle[0].recv(KIB * 64), b""))
        is_open(5)
    finally:
        for client in idle:
            client.close()
    is_open(0)


class Watcher(threading.Thread):
    """Watches a job to its end, and comes back whenever the stream ends."""

    def __init__(self, api, job):
        super().__init__(daemon=True)
        self.api, self.job, self.events, self.streams = api, job, [], 0
        self.start()

    def run(self):
        while not self.events or self.events[-1]["event"] != "end":
            last = {"Last-Event-ID": self.events[-1]["id"]} if self.events else {}
            with contextlib.suppress(OSError, http.client.HTTPException):
                with Stream(self.api, self.job, headers=last) as stream:
                    if stream.status == 200:
                        self.streams += 1
                        for event in iter(stream.next, None):
                            self.events.append(event)
            time.sleep(0.05)

    def has(self, number):
        return any(map(is_log(number), list(self.events)))


@pytest.mark.slow
def test_kills(private, queue):
    """kill -9 of each role, while an agent posts: no gap, no double."""
    stack = private(workers=1, webhooks=0)
    api = Api(stack.url)
    job = started(api, queue)
    watchers = [Watcher(api, job) for _ in range(2)]

    def post(number):
        with contextlib.suppress(OSError, requests.RequestException):
            return api.post(f"/v1/result/{job}/log/output", body(number, f"{number}\n", phase="test")).status_code == 200

    number = 0
    for role in ("worker", "broker", "frontend"):
        for _ in range(3):
            wait_until(lambda: post(number), "an agent posts")
            number += 1
        wait_until(lambda: all(w.has(number - 1) for w in watchers), "what was posted before is seen")
        before = [w.streams for w in watchers]
        stack.kill(role)
        wait_until(lambda: post(number), "an agent posts")
        number += 1
        wait_until(lambda: all(w.has(number - 1) for w in watchers), f"it goes on behind the end of a {role}")
        if role == "frontend":
            assert all(w.streams > b for w, b in zip(watchers, before))
    wait_until(lambda: api.get("/readyz").status_code == 200, "the server is ready")
    end(api, job)
    for watcher in watchers:
        watcher.join(30)
        assert logs(watcher.events) == [(n, f"{n}\n") for n in range(number)]
        assert watcher.events[-1]["data"] == {"state": "complete"}

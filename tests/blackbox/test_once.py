"""Requests that a worker runs again: as a repeat after another worker's death, and late, as a first run.
The second run changes nothing and is answered as the first. (All operations: test_replays.py)"""

import json
import resource
import time
import uuid
from pathlib import Path

import pytest

import auth
from client import OVER, Api, expect, expect_none, message, new_id
from receiver import Receiver
from stack import SANITIZED, Stack, wait_until
from storage import storage_of
from test_attack_bus import HEADERS, Intruder, envelope, reply_of
from test_broker import API, HELLO, PING

WAKE = 8


class Request:
    """A request that is sent over the bus as often as a test wants."""

    def __init__(self, bus, op, *params, body=b"", content_type="application/json"):
        self.bus, self.op, self.id = bus, op, uuid.uuid4().bytes
        headers = [None, None, content_type.encode()] + [None] * (HEADERS - 3)
        self.fields = {"_4": int(time.time() * 1e6), "_5": [p.encode() for p in params], "_7": headers, "_9": body}

    def run(self, attempt=0):
        """Status and body of its answer."""
        self.bus.request(envelope(self.id, self.op, **self.fields), id=self.id, attempt=attempt, service=API)
        (answer,) = self.bus.get(PING, HELLO, WAKE)
        assert answer["id"] == self.id
        return reply_of(answer)

    def run_again(self, status):
        """Late, and as a repeat: answered as now."""
        first = self.run()
        assert first[0] == status, first
        for attempt in (0, 1, 0):
            assert self.run(attempt) == first


@pytest.fixture(scope="module")
def once(store_uri):
    with Stack(store_uri(), "--webhook-server-events", "yes", "--sweep-interval", 50, env=auth.ENV, workers=2,
               webhooks=1) as stack:
        yield stack


@pytest.fixture
def api(once):
    return Api(once.url)


@pytest.fixture
def bus(once):
    peer = Intruder(once)
    yield peer
    peer.close()


# ---- cancel ----

def cancel(bus, job_id):
    return Request(bus, "OP_JOB_ACTION", job_id, body=b'{"action": "cancel"}')


def test_cancel_knows_its_request(bus, api, queue):
    with Receiver() as receiver:
        job_id = api.submit(queue, job_status_webhook=f"{receiver.url}/ok/{queue}")
        request = cancel(bus, job_id)
        request.run_again(200)
        assert api.state(job_id) == "cancelled"
        expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 400, OVER)
        expect(api.post("/v1/job", {"job_queue": queue, "job_id": job_id}), 200)
        assert request.run(0) == (200, b"OK")
        assert api.state(job_id) == "waiting", "a late cancel does not end the new attempt"
        receiver.wait_for(1, queue)
        time.sleep(0.5)
        assert len(receiver.requests()) == 1
    trail = expect(api.get("/v1/audit", params={"target": job_id}, headers=auth.as_role("admin")), 200).json()
    assert [entry["action"] for entry in trail] == ["job.cancel"]


# ---- uploads ----

CHUNK = 261120


class Upload:
    """An artifact as a frontend sends it: begun, its pieces, the commit."""

    def __init__(self, bus, job_id, content):
        self.bus, self.content = bus, content
        self.begun = Request(bus, "OP_ARTIFACT_PUT", job_id, body=b"%24d" % len(content))
        status, self.info = self.begun.run()
        assert status == 202
        self.pieces = [self._request("OP_FILE_PUT", at, content[at:at + CHUNK])
                       for at in range(0, len(content), CHUNK)]
        self.commit = self._request("OP_FILE_COMMIT")
        self.all = [self.begun, *self.pieces, self.commit]

    def _request(self, op, at=0, body=b""):
        request = Request(self.bus, op, body=body)
        request.fields["_6"] = [b"file", self.info, b"at", b"%d" % at, b"size", b"%d" % len(body)]
        return request

    def finish(self):
        for request in self.pieces:
            assert request.run()[0] == 204
        assert self.commit.run() == (200, b"OK")


def sweep(once):
    left = storage_of(once).make_files_due()
    wait_until(lambda: left() == 0, "all is swept")


def artifact(api, job_id):
    return api.get(f"/v1/result/{job_id}/artifact")


@pytest.mark.slow
def test_uploads_that_come_late(once, bus, api):
    """Begin, pieces and commit once more, after the commit and after another upload; then after sweeps,
    when what was noted of the upload is gone."""
    job_id = new_id()
    first = Upload(bus, job_id, b"a" * (CHUNK + 7))
    first.finish()
    expected = [request.run() for request in first.all]
    assert [status for status, _ in expected] == [202, 204, 204, 200]

    def late(now):
        for attempt in (0, 1, 0):
            assert [request.run(attempt) for request in first.all] == expected
        for again in range(2):
            assert expect(artifact(api, job_id), 200).content == now
            sweep(once)
        for request in first.all:
            assert request.run()[0] in (200, 202, 204, 404)
            assert expect(artifact(api, job_id), 200).content == now
            sweep(once)
        assert expect(artifact(api, job_id), 200).content == now

    late(first.content)
    first = Upload(bus, job_id, b"c" * (CHUNK + 7))
    first.finish()
    second = Upload(bus, job_id, b"b" * 9)
    second.finish()
    expected[0] = first.begun.run()
    late(second.content)


def test_missing_pieces_are_announced(once, api, queue):
    """Before the first byte, with the reason; also where the headers alone are asked for."""
    job_id, file = api.submit(queue, test_data={"attachments": [{"agent": "a"}]}), {"file": ("a", b"x" * 3 * CHUNK)}
    for path in (f"/v1/result/{job_id}/artifact", f"/v1/job/{job_id}/attachments"):
        expect(api.post(path, files=file), 200, "OK")
        expect(api.get(path), 200)
        storage_of(once).lose_chunk(f"{job_id}.{path.split('/')[-1]}", 1)
        expect(api.get(path), 410, message("Pieces of this file are missing in the server's store; upload it "
                                           "once more"))
        assert api.get(path, headers={"Range": "bytes=0-3"}).status_code == 410
        assert api.head(path).status_code == 410
    expect(api.post(f"/v1/result/{job_id}/artifact", files=file), 200, "OK")
    expect(artifact(api, job_id), 200)
    assert f"pieces of file {job_id}.artifact are missing" in once.log()


# ---- live output ----

KINDS = {"output": ("OP_OUTPUT_ADD", "OP_OUTPUT_GET"), "serial_output": ("OP_SERIAL_ADD", "OP_SERIAL_GET")}


def fragment(number, text):
    return json.dumps({"fragment_number": number, "timestamp": "2026-01-02T03:04:05Z", "phase": "test",
                       "log_data": text}).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_appended_once(bus, api, kind):
    """Also when it was read meanwhile, and after others."""
    job_id = new_id()
    path = f"/v1/result/{job_id}/{kind}"
    request = Request(bus, KINDS[kind][0], job_id, body=b"first", content_type="text/plain")
    request.run_again(200)
    expect(api.get(path), 200, "first")
    request.run_again(200)
    expect(api.post_body(path, b"second", None), 200)
    expect(api.get(path), 200, "second")
    request.run_again(200)
    expect_none(api.get(path))


@pytest.mark.parametrize("kind", ["output", "serial"])
def test_fragments_are_appended_once(bus, api, kind):
    job_id = new_id()
    live = f"/v1/result/{job_id}/{'output' if kind == 'output' else 'serial_output'}"
    op = "OP_LOG_OUTPUT_ADD" if kind == "output" else "OP_LOG_SERIAL_ADD"
    request = Request(bus, op, job_id, body=fragment(0, "a"))
    request.run_again(200)
    expect(api.get(live), 200, "a")
    request.run_again(200)
    expect_none(api.get(live))
    log = expect(api.get(f"/v1/result/{job_id}/log/{kind}"), 200).json()
    assert log[kind]["test"]["log_data"] == "a"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fragments", [False, True])
def test_a_read_whose_answer_was_lost(bus, api, kind, fragments):
    """The same request gets the same again, and nothing that came since; the next read gets that."""
    job_id = new_id()
    path = f"/v1/result/{job_id}/{kind}"
    posted = []

    def post(text):
        posted.append(text)
        if fragments:
            log = f"/v1/result/{job_id}/log/{kind.removesuffix('_output')}"
            expect(api.post_body(log, fragment(len(posted), text), "application/json"), 200)
        else:
            expect(api.post_body(path, text.encode(), None), 200)

    post("a")
    post("b")
    request = Request(bus, KINDS[kind][1], job_id)
    request.run_again(200)
    assert request.run(0) == (200, b"a\nb")
    post("c")
    assert request.run(0) == (200, b"a\nb")
    assert request.run(1) == (200, b"a\nb")
    expect(api.get(path), 200, "c")
    expect_none(api.get(path))
    assert request.run(0) in ((200, b"a\nb"), (204, b"")), "nothing of a later read"


def limit_memory(pids, more):
    """They have so many bytes more than now."""
    for pid in pids:
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))


@pytest.mark.skipif(SANITIZED, reason="ASan reserves memory without end")
@pytest.mark.slow
def test_a_worker_without_memory_for_the_answer(private):
    """It ends, and another one gives the text; or it says that it cannot read, and nothing is lost."""
    stack = private(workers=2)
    stack.undisturbed = None  # workers die
    api, path, failed = Api(stack.url), f"/v1/result/{new_id()}/output", 0
    entries = [bytes([97 + i]) * (5 << 20) for i in range(3)]
    for extra in range(4, 64, 8):  # MiB: it fails at one step or the other
        for entry in entries:
            expect(api.post_body(path, entry, None), 200)
        workers = wait_until(lambda: len(found := stack.children("worker")) == 2 and found, "both are there")
        limit_memory(workers, extra << 20)
        response = api.get(path)
        failed += response.status_code != 200 or set(workers) != set(stack.children("worker"))
        if response.status_code != 200:
            expect(response, 503)
            limit_memory([pid for pid in workers if pid in stack.children("worker")], 1 << 30)
            response = api.get(path)
        expect(response, 200, b"\n".join(entries).decode())
        limit_memory(stack.children("worker"), 1 << 30)
        expect_none(api.get(path))
    assert failed

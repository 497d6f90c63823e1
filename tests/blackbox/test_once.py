"""Requests that a worker runs again: as a repeat after another worker's death, and late, as a first run.
The second run changes nothing and is answered as the first. (All operations: test_replays.py)"""

import time
import uuid

import pytest

import auth
from client import OVER, Api, expect, message, new_id
from receiver import Receiver
from stack import Stack, wait_until
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

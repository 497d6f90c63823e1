"""Requests that a worker runs again: as a repeat after another worker's death, and late, as a first run.
The second run changes nothing and is answered as the first. (All operations: test_replays.py)"""

import time
import uuid

import pytest

import auth
from client import OVER, Api, expect, new_id
from receiver import Receiver
from stack import Stack
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
    with Stack(store_uri(), "--webhook-server-events", "yes", env=auth.ENV, workers=2,
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

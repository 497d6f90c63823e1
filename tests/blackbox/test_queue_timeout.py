"""queue_timeout of a job: no agent took it in time, so it is cancelled."""

import json
import signal
import time

import pytest

from client import Api, expect, expect_none, invalid, new_id
from receiver import Receiver
from stack import wait_until

pytestmark = pytest.mark.waits

SWEEPS = ("--sweep-interval", 50)
REASON = "expired: no agent took the job within its queue_timeout"
LEAST = 0.9  # seconds that a timeout of 1 takes at least: the submission's time is cut


def ended(api, job_id):
    wait_until(lambda: api.state(job_id) == "cancelled", "it is cancelled")
    assert api.get(f"/v1/result/{job_id}").json()["end_reason"] == REASON


@pytest.mark.slow
def test_a_job_that_nobody_takes(private, queue):
    """It ends visibly with its event, also while it waits for attachments; others stay."""
    api = Api(private(*SWEEPS, "--webhook-server-events", "yes", webhooks=1).url)
    with Receiver() as receiver:
        kept = [api.submit(queue), api.submit(queue, queue_timeout=7776000)]
        start = time.monotonic()
        job_id = api.submit(queue, queue_timeout=1, job_status_webhook=f"{receiver.url}/ok/one")
        held = api.submit(queue, queue_timeout=1,
                          test_data={"attachments": [{"agent": "a"}]})
        assert api.get(f"/v1/job/{job_id}").json()["queue_timeout"] == 1
        ended(api, job_id)
        assert time.monotonic() - start > LEAST
        ended(api, held)
        (got,) = receiver.wait_for(1, "one")
        (event,) = json.loads(got["body"])["events"]
        assert (event["event_name"], event["detail"]) == ("job_end", REASON)
        assert [api.claimed(queue) for _ in kept] == kept
        expect_none(api.claim(queue))
        assert len(receiver.requests()) == 1


@pytest.mark.slow
def test_a_job_that_was_taken(private, queue):
    """It keeps running; so does one that waits again since its agent was lost."""
    api = Api(private(*SWEEPS, "--job-lease", 1).url)
    taken = api.submit(queue, queue_timeout=4)
    assert api.claimed(queue) == taken
    api.set_state(taken, "complete")
    lost = api.submit(queue, queue_timeout=4, rerun_on_orphan=1)
    over = time.monotonic() + 4.5
    assert api.claimed(queue, cookie="agent_name=a1") == lost
    wait_until(lambda: api.state(lost) == "waiting", "it waits again", 15)
    wait_until(lambda: time.monotonic() > over, "its time is over")
    assert api.state(lost) == "waiting" and api.state(taken) == "complete"
    assert api.claimed(queue, cookie="agent_name=a1") == lost


@pytest.mark.slow
def test_the_sweep_goes_on_elsewhere(private, queue):
    """Whichever of the workers has the turn to sweep: when it dies, another one takes the turn as it ends."""
    stack = private(*SWEEPS, workers=2)
    api = Api(stack.url)
    ended(api, api.submit(queue, queue_timeout=1))
    for worker in stack.children("worker"):
        stack.signal(signal.SIGKILL, [worker])
        ended(api, api.submit(queue, queue_timeout=1))


@pytest.mark.slow
def test_a_job_that_is_submitted_again(private, queue):
    """The timeout is the last submission's."""
    api, job_id = Api(private(*SWEEPS).url), new_id()
    api.submit(queue, job_id=job_id, queue_timeout=1)
    api.submit(queue, job_id=job_id, queue_timeout=600)
    time.sleep(1.5)
    assert api.state(job_id) == "waiting"
    api.submit(queue, job_id=job_id)
    api.submit(queue, job_id=job_id, queue_timeout=1)
    ended(api, job_id)
    api.submit(queue, job_id=job_id)
    time.sleep(0.5)
    assert api.claimed(queue) == job_id


@pytest.mark.slow
def test_more_than_one_step(private, queue):
    api = Api(private(*SWEEPS).url)
    ids = [api.submit(queue, queue_timeout=2) for _ in range(230)]
    wait_until(lambda: all(api.state(id_) == "cancelled" for id_ in ids), "all are cancelled", 20)


@pytest.mark.alike
@pytest.mark.parametrize("value", [0, -1, 7776001, 2**62, 1.5, "60", True, None, [], {}])
def test_bad_values(api, queue, value):
    response = api.post("/v1/job", {"job_queue": queue, "queue_timeout": value})
    expect(response, 422, invalid({"queue_timeout": ["Must be an integer from 1 to 7776000."]}))
    expect_none(api.claim(queue))

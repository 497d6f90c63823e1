"""Events that the server itself sends, of jobs that end without an agent."""

import json
import time

import pytest

from client import Api, expect, new_id
from receiver import Receiver
from stack import wait_until

pytestmark = pytest.mark.waits


def cancel(api, job):
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 200, "OK")


@pytest.mark.slow
def test_server_events(private, queue):
    api = Api(private("--webhook-server-events", "yes", "--sweep-interval", 50, "--job-lease", 2,
                      webhooks=1).url)
    with Receiver() as receiver:
        jobs = {name: new_id() for name in ("waits", "runs", "lost", "unwanted", "wrong")}
        for name, job in jobs.items():
            wanted = {"job_status_webhook": f"{receiver.url}/ok/{job}"} if name != "unwanted" else {}
            wrong = {"job_status_webhook": "nonsense"} if name == "wrong" else {}
            api.submit(f"{queue}-{name}", job_id=job, **{**wanted, **wrong})
        assert api.claimed(f"{queue}-lost", cookie="agent_name=a1") == jobs["lost"]
        assert api.claimed(f"{queue}-runs") == jobs["runs"]
        for name in ("waits", "runs", "unwanted", "wrong"):
            cancel(api, jobs[name])
        (got,) = receiver.wait_for(1, jobs["waits"])
        body = json.loads(got["body"])
        when = body["events"][0].pop("timestamp")
        assert abs(time.mktime(time.strptime(when, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
                   - time.time()) < 60
        assert body == {"agent_id": "", "job_queue": f"{queue}-waits", "events": [
            {"event_name": "job_end", "detail": "cancelled while it waited for an agent"}]}
        wait_until(lambda: api.state(jobs["lost"]) == "cancelled", "its lease has ended", 15)
        (got,) = receiver.wait_for(1, jobs["lost"])
        (event,) = json.loads(got["body"])["events"]
        assert event["event_name"] == "job_end"
        assert event["detail"] == api.get(f"/v1/result/{jobs['lost']}").json()["end_reason"]
        assert len(receiver.requests()) == 2


@pytest.mark.slow
def test_expired_while_it_waited(private, queue):
    api = Api(private("--webhook-server-events", "yes", "--sweep-interval", 50,
                      "--expire-waiting", 1, webhooks=1).url)
    with Receiver() as receiver:
        for job in (new_id(), f"urn:uuid:{{{new_id()}}}"):  # the longest spelling of an id
            name = job.split("{")[-1].strip("}")
            api.submit(queue, job_id=job, job_status_webhook=f"{receiver.url}/ok/{name}")
            (got,) = receiver.wait_for(1, name)
            (event,) = json.loads(got["body"])["events"]
            assert event["event_name"] == "job_end"
            assert event["detail"] == api.get(f"/v1/result/{job}").json()["end_reason"]


@pytest.mark.slow
def test_only_where_it_is_wanted(private, queue):
    api = Api(private(webhooks=1).url)
    with Receiver() as receiver:
        cancel(api, api.submit(queue, job_status_webhook=f"{receiver.url}/ok"))
        time.sleep(1.5)
        assert receiver.requests() == []

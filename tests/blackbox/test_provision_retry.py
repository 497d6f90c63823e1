"""retries_on_provision_failure of a job: it waits again, for another device where there is one."""

import json

import pytest

from client import Api, expect, expect_none, invalid
from receiver import Receiver
from stack import Stack, wait_until
from storage import storage_of
from test_job_events import events, names

FAILED = {"job_state": "complete", "status": {"setup": 0, "provision": 1, "cleanup": 0}}
FINE = {"job_state": "complete", "status": {"provision": 0, "test": 0}}


@pytest.fixture(scope="module")
def stack(store_uri):
    with Stack(store_uri(), "--webhook-server-events", "yes", webhooks=1) as stack:
        yield stack


@pytest.fixture
def api(stack):
    return Api(stack.url)


@pytest.fixture
def agents(api, queue):
    """Two agents of the queue."""
    names_of = [f"{queue}-{n}" for n in "ab"]
    for name in names_of:
        api.agent(name, queues=[queue], state="waiting")
    return names_of


def cookie(agent):
    return {"Cookie": f"agent_name={agent}"}


def take(api, queue, agent, job):
    assert api.claimed(queue, cookie=f"agent_name={agent}") == job
    expect(api.post(f"/v1/result/{job}", {"job_state": "provision"}, headers=cookie(agent)), 200, "OK")


def end(api, job, agent, body=FAILED):
    expect(api.post(f"/v1/result/{job}", body, headers=cookie(agent)), 200, "OK")


def test_another_device(stack, api, queue, agents):
    """It comes before younger jobs; everything tells of the failed try."""
    first, second = agents
    with Receiver() as receiver:
        job = api.submit(queue, retries_on_provision_failure=1, job_status_webhook=f"{receiver.url}/hook")
        younger = api.submit(queue)
        take(api, queue, first, job)
        end(api, job, first)
        assert api.get(f"/v1/result/{job}").json() == {"job_state": "waiting"}
        assert expect(api.get(f"/v1/agents/data/{first}"), 200).json()["job_id"] == ""
        assert api.claimed(queue, cookie=f"agent_name={first}") == younger
        take(api, queue, second, job)
        (body,) = [json.loads(r["body"]) for r in receiver.wait_for(1)]
        event = body["events"][0]
        assert body["agent_id"] == first and event["event_name"] == "job_retried"
        assert event["detail"] == f"retry 1 of 1: provisioning failed on agent {first}"
    end(api, job, second, FINE)
    assert api.get(f"/v1/result/{job}").json() == {"provision_status": 0, "test_status": 0, "job_state": "complete"}
    assert names(api, job) == ["job_claimed", "job_retried", "job_claimed"]
    assert events(api, job)[1]["detail"] == event["detail"]
    (attempt,) = storage_of(stack).attempts(job)
    assert attempt["status"] == FAILED["status"] and attempt["end_reason"] == event["detail"]


@pytest.mark.parametrize("form", [
    [FAILED], [{"provision_status": 46, "job_state": "completed"}],
    [{"status": {"provision": 1}}, {"job_state": "cleanup"}, {"job_state": "complete"}]])
def test_the_only_device(api, queue, form):
    """It tries again itself, until the limit."""
    api.agent(queue, queues=[queue])
    job = api.submit(queue, retries_on_provision_failure=2)
    for left in (2, 1, 0):
        take(api, queue, queue, job)
        for body in form:
            end(api, job, queue, body)
        assert api.state(job) == ("waiting" if left else form[-1]["job_state"])
    expect_none(api.claim(queue, cookie=f"agent_name={queue}"))
    assert api.get(f"/v1/result/{job}").json()["provision_status"] in (1, 46)


def test_what_is_no_retry(api, queue, agents):
    """Not asked for, provisioned, another phase failed."""
    for fields, body in (({}, FAILED), ({"retries_on_provision_failure": 0}, FAILED),
                         ({"retries_on_provision_failure": 3}, FINE),
                         ({"retries_on_provision_failure": 3}, {"job_state": "complete"}),
                         ({"retries_on_provision_failure": 3},
                          {"job_state": "complete", "status": {"provision": 0, "test": 9}})):
        job = api.submit(queue, **fields)
        take(api, queue, agents[0], job)
        end(api, job, agents[0], body)
        assert api.state(job) == "complete", (fields, body)


def test_other_agents_are_away(api, queue, agents):
    """The device is not excluded then."""
    first, second = agents
    api.agent(second, state="offline")
    job = api.submit(queue, retries_on_provision_failure=1)
    take(api, queue, first, job)
    end(api, job, first)
    take(api, queue, first, job)


def test_late_posts(api, queue, agents):
    """The same end once more, while the job waits and while another agent has it."""
    first, second = agents
    job = api.submit(queue, retries_on_provision_failure=3)
    take(api, queue, first, job)
    for _ in range(3):
        end(api, job, first)
        assert api.state(job) == "waiting"
    take(api, queue, second, job)
    end(api, job, first)
    assert api.get(f"/v1/result/{job}").json() == {"job_state": "provision"}
    end(api, job, second, FINE)
    assert api.state(job) == "complete"


def test_a_cancel_wins(api, queue, agents):
    """Before the run ends, and while the job waits again."""
    first, _ = agents
    before, after = (api.submit(queue, retries_on_provision_failure=3) for _ in range(2))
    take(api, queue, first, before)
    expect(api.post(f"/v1/job/{before}/action", {"action": "cancel"}), 200)
    end(api, before, first)
    assert api.state(before) == "complete"
    take(api, queue, first, after)
    end(api, after, first)
    expect(api.post(f"/v1/job/{after}/action", {"action": "cancel"}), 200)
    assert api.state(after) == "cancelled"
    expect_none(api.claim(queue, cookie=f"agent_name={agents[1]}"))


def test_an_agent_that_is_started_again(private, queue):
    """That is no failed provisioning: the job is lost."""
    api = Api(private("--agent-names", "own").url)
    api.agent(queue, queues=[queue])
    job = api.submit(queue, retries_on_provision_failure=3)
    take(api, queue, queue, job)
    expect(api.post(f"/v1/result/{job}", {"status": {"provision": 1}}, headers=cookie(queue)), 200)
    api.agent(queue, state="waiting", job_id="")
    assert api.state(job) == "cancelled"


@pytest.mark.slow
def test_workers_die(private, queue):
    """A retry counts once, whenever the worker that stores it is killed."""
    server = private(workers=2)
    api = Api(server.url)
    api.agent(queue, queues=[queue])
    for _ in range(5):
        job = api.submit(queue, retries_on_provision_failure=1)
        take(api, queue, queue, job)
        server.kill("worker")
        end(api, job, queue)
        assert api.state(job) == "waiting"
        take(api, queue, queue, job)
        end(api, job, queue)
        assert api.state(job) == "complete"
        wait_until(server.is_complete, "all workers are there")


@pytest.mark.parametrize("value", [-1, 4, "1", True, 1.5])
def test_bad_values(api, queue, value):
    response = api.post("/v1/job", {"job_queue": queue, "retries_on_provision_failure": value})
    expect(response, 422, invalid({"retries_on_provision_failure": ["Must be an integer from 0 to 3."]}))

"""A receiver that is down does not slow agents: what their posts of events get, and what a job takes."""

import json
import time

import pytest
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from client import Api, expect, message, new_id
from receiver import Receiver
from stack import Port, Stack
from test_webhooks import post, state

pytestmark = pytest.mark.waits

EVENTS = ["job_start", "started_provision", "ended_provision", "started_test", "job_end"]


@pytest.fixture(scope="module")
def hooks(store_uri):
    """A server with webhooks, two processes: what one has seen of a receiver the other may not know."""
    with Stack(store_uri(), webhooks=2) as stack:
        yield stack


@pytest.fixture
def api(hooks):
    return Api(hooks.url)


def queued(response):
    expect(response, 202, "Webhook queued")
    assert state(response) == "queued"


def job_of_an_agent(url, target):
    """Posts the events of a job as agents do: the whole list each time, again after 500, 502, 503 and 504, five
    times at most, with pauses of 0, 0.6, 1.2, 2.4 and 4.8 s. Returns the seconds."""
    api, job = Api(url), new_id()
    api.session.mount("http://", HTTPAdapter(max_retries=Retry(
        total=5, backoff_factor=0.3, status_forcelist=(500, 502, 503, 504), allowed_methods=None,
        raise_on_status=False)))
    began = time.monotonic()
    for n in range(len(EVENTS)):
        events = [{"event_name": name, "timestamp": str(i), "detail": ""}
                  for i, name in enumerate(EVENTS[:n + 1])]
        assert post(api, f"{target}/{job}", job, events=events).status_code < 400
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["nobody", "hang/99", "headers", "status/503", "status/500", "close", "late503"])
def test_job_takes_no_longer(hooks, behaviour):
    def longer():
        with Receiver() as good:
            usual = job_of_an_agent(hooks.url, f"{good.url}/ok")
            assert len(good.requests()) == len(EVENTS)
        receiver = Receiver()
        if behaviour != "nobody":
            receiver.start()
        took = job_of_an_agent(hooks.url, f"{receiver.url}/{behaviour}")
        receiver.stop()
        return took - usual

    assert any(longer() <= 5 for _ in range(4))  # a busy machine may delay one


def test_all_arrive_in_order_when_it_is_back(private):
    stack = private("--webhook-backoff", 100, "--webhook-backoff-max", 500, webhooks=1)
    receiver = Receiver()
    job_of_an_agent(stack.url, f"{receiver.url}/ok")
    with receiver:
        got = receiver.wait_for(len(EVENTS), seconds=30)
        assert [len(json.loads(r["body"])["events"]) for r in got] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_timeout_is_told_once(private):
    """504 for the first post of an event that timed out. 202 at once for the same again, and for the next one."""
    stack = private("--webhook-timeout", 5000, webhooks=1)
    with Receiver() as receiver:
        api, job, url = Api(stack.url), new_id(), f"{receiver.url}/hang"
        assert state(expect(post(api, url, job), 504, "Webhook Timeout")) == "queued"
        began = time.monotonic()
        queued(post(api, url, job))
        queued(post(api, url, job, agent_id="2"))
        queued(post(api, url, new_id()))  # of another job
        assert time.monotonic() - began < 4
        assert state(expect(post(api, url.replace("127.0.0.1", "localhost")), 504)) == "queued"


def test_back_from_a_timeout(private):
    """One event gets 202 at once, is delivered all the same, and the next one gets the receiver's answer."""
    stack = private("--webhook-timeout", 2000, "--webhook-backoff", 600000, webhooks=1)
    with Receiver() as receiver:
        api, job = Api(stack.url), new_id()
        url = f"{receiver.url}/hang/1/{job}"
        expect(post(api, url, job), 504)
        queued(post(api, url, job, agent_id="2"))
        got = receiver.wait_for(3, job)
        assert [json.loads(r["body"])["agent_id"] for r in got] == ["agent-00", "agent-00", "2"]
        expect(post(api, f"{receiver.url}/ok", job), 200, "thanks")


@pytest.mark.stores("sqlite")  # answers are no matter of the store
def test_reference_names_the_fault(private):
    stack = private("--compat", "reference", "--webhook-timeout", 2000, webhooks=1)
    api = Api(stack.url)
    with Receiver() as receiver:
        for status in (500, 503):
            expect(post(api, f"{receiver.url}/status/{status}"), status, f"status {status}")
        expect(post(api, f"{receiver.url}/close"), 502, message("Webhook unreachable"))
        for _ in range(2):
            expect(post(api, f"{receiver.url}/hang"), 504, "Webhook Timeout")
    port = Port()
    expect(post(api, f"http://127.0.0.1:{port.number}/x"), 502, message("Webhook unreachable"))
    port.release()

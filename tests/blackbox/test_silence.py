"""Agents of which nothing is heard are shown as silent, and the server tells it; what the server did
not hear because it was away does not count."""

import json
import threading
import time

import pytest
import requests

import auth
from client import Api, expect, new_id
from receiver import Receiver
from stack import Port, Stack, wait_until
from storage import storage_of
from test_job_events import events, names

# A third of the time on top: from 4 s on, a quarter of a second later at most.
OPTIONS = ("--agent-silent", 3, "--sweep-interval", 50, "--webhook-server-events", "yes")
pytestmark = [pytest.mark.waits, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def listening(store_uri):
    with Stack(store_uri(), *OPTIONS, webhooks=1) as stack:
        yield stack


@pytest.fixture
def api(listening):
    return Api(listening.url)


def cookie(agent):
    return {"Cookie": f"agent_name={agent}"}


def shown(api, agent):
    """As the agent and both lists show it; that of a queue only where it is true."""
    found = {expect(api.get(f"/v1/agents/data/{agent}"), 200).json()["silent"]}
    for path in ("/v1/agents/data", f"/v1/queues/{agent}/agents"):
        found |= {a.get("silent", False) for a in api.get(path).json() if a["name"] == agent}
    return found


def is_silent(api, agent):
    return shown(api, agent) == {True}


def falls_silent(api, agent):
    wait_until(lambda: is_silent(api, agent), "it is silent", 12)


def is_heard(api, agent):
    wait_until(lambda: shown(api, agent) == {False}, "it is heard of again", 4)


def take(api, agent, **fields):
    job = api.submit(agent, **fields)
    assert api.claimed(agent, cookie=f"agent_name={agent}") == job
    api.set_state(job, "test")
    return job


@pytest.fixture
def agent(api, queue):
    api.agent(queue, queues=[queue], state="waiting")
    return queue


def test_an_agent_without_a_job(listening, api, agent):
    """Each kind of call ends its silence."""
    assert shown(api, agent) == {False}
    job = api.submit(agent + "-x")
    calls = {"post": lambda: api.agent(agent, state="waiting"),
             "claim": lambda: api.claim(agent, cookie=f"agent_name={agent}"),
             "status": lambda: api.get(f"/v1/result/{job}/status", headers=cookie(agent)),
             "provision log": lambda: api.post(f"/v1/agents/provision_logs/{agent}", {"job_id": job, "exit_code": 0})}
    for call in calls.values():
        falls_silent(api, agent)
        assert call().status_code < 300
        is_heard(api, agent)
    text = f"agent {agent} was not heard of for 3 s, it has no job"
    assert listening.log().count(text) == len(calls)
    assert listening.log().count(f"agent {agent} is heard of again") == len(calls)


def test_events_of_its_job(api, queue):
    """Once when it falls silent, once when it is back; in the job's events and to its webhook."""
    with Receiver() as receiver:
        api.agent(queue, queues=[queue])
        job = take(api, queue, job_status_webhook=f"{receiver.url}/hook")
        falls_silent(api, queue)
        time.sleep(1)
        expect(api.get(f"/v1/result/{job}", headers=cookie(queue)), 200)
        is_heard(api, queue)
        for _ in range(5):
            expect(api.get(f"/v1/result/{job}", headers=cookie(queue)), 200)
            time.sleep(0.2)
        assert names(api, job) == ["job_claimed", "agent_silent", "agent_heard"]
        silent, back = events(api, job)[1:]
        assert silent["detail"] == f"agent {queue} was not heard of for 3 s"
        assert back["detail"] == f"agent {queue} is heard of again"
        bodies = [json.loads(r["body"]) for r in receiver.wait_for(2)]
        assert [b["events"][0]["event_name"] for b in bodies] == ["agent_silent", "agent_heard"]
        assert bodies[0]["agent_id"] == bodies[0]["job_queue"] == queue
        assert len(receiver.requests()) == 2
    assert api.state(job) == "test"


def test_agents_that_ask_are_not_silent(private):
    """One polls, one holds a long poll, one asks for its job, one is in a job and posts output."""
    server = private("--agent-silent", 9, "--sweep-interval", 50)
    api = Api(server.url)
    poller, holder, asker, poster = agents = [new_id() for _ in range(4)]
    for name in agents:
        api.agent(name, queues=[name])
    asked, posted = take(api, asker), take(api, poster)
    end = time.monotonic() + 15

    def hold():
        while time.monotonic() < end:
            Api(server.url).get(f"/v1/job?queue={holder}&wait=1", headers=cookie(holder))

    waiting = threading.Thread(target=hold)
    waiting.start()
    while time.monotonic() < end:
        api.claim(poller, cookie=f"agent_name={poller}")
        api.get(f"/v1/result/{asked}/status", headers=cookie(asker))
        api.post_body(f"/v1/result/{posted}/output", b"x", "text/plain", **cookie(poster))
        assert [shown(api, name) for name in agents] == [{False}] * 4
        time.sleep(1)
    waiting.join()
    assert "agent_silent" not in names(api, asked) + names(api, posted)


def test_an_agent_whose_poll_is_held(private, queue):
    """The frontend asks again for it."""
    api = Api(private("--agent-silent", 9, "--sweep-interval", 50).url)
    api.agent(queue, queues=[queue])
    poll = threading.Thread(target=lambda: api.get(f"/v1/job?queue={queue}&wait=16", headers=cookie(queue)))
    poll.start()
    other = Api(api.url)
    while poll.is_alive():
        assert shown(other, queue) == {False}
        time.sleep(1)
    wait_until(lambda: is_silent(other, queue), "it is silent", 30)


def test_calls_of_others_do_not_count(private):
    """Of users, of agents that are not the one they name, and refused ones."""
    server = private(*OPTIONS, "--agent-identity", "token", env=auth.ENV)
    api = Api(server.url)
    agent = "a1"
    expect(api.post(f"/v1/agents/data/{agent}", {"state": "waiting", "queues": [agent]},
                    headers=auth.as_role("agent", agent)), 200)
    end, heard = time.monotonic() + 20, []
    while time.monotonic() < end and not heard:
        expect(api.post(f"/v1/agents/data/{agent}", {"comment": "c"}, headers=auth.as_role("agent", "a2")), 403)
        api.get(f"/v1/job?queue={agent}", headers={**auth.as_role("agent", "a2"), **cookie(agent)})
        api.get(f"/v1/result/{new_id()}", headers={**auth.as_role("contributor"), **cookie(agent)})
        api.get(f"/v1/result/{new_id()}", headers=cookie(agent))
        time.sleep(0.2)
        heard = [a for a in api.get("/v1/agents/data").json() if a["silent"]]
    assert heard
    api.get(f"/v1/job?queue={agent}", headers={**auth.as_role("agent", agent), **cookie(agent)})
    is_heard(api, agent)


def test_who_is_online(listening, api, agent):
    """Silent agents are not, but those with a job are: provisioning may take long."""
    api.submit(agent, unknown_queue="offline")
    falls_silent(api, agent)
    refused = api.post("/v1/job", {"job_queue": agent, "unknown_queue": "offline"})
    assert refused.status_code == 422 and "is online" in refused.json()["message"]
    assert api.claim(agent, cookie=f"agent_name={agent}").status_code == 200
    falls_silent(api, agent)
    api.submit(agent, unknown_queue="offline")


def test_metric(private):
    port = Port(4)
    server = private(*OPTIONS, "--metrics-port", port.number)
    api = Api(server.url)

    def count():
        text = requests.get(f"http://127.0.0.1:{port.number + 2}/metrics", timeout=10).text
        return [line.split()[1] for line in text.splitlines() if line.startswith("testflinger_agents_silent ")]

    api.agent("a1", queues=["a1"])
    wait_until(lambda: count() == ["0"], "it is there")
    wait_until(lambda: count() == ["1"], "it is counted", 20)
    api.agent("a1", state="waiting")
    wait_until(lambda: count() == ["0"], "it is not any more", 4)
    port.release()


@pytest.mark.parametrize("options", [("--agent-silent", 0), (*OPTIONS, "--compat", "reference")])
def test_not_shown(private, options):
    """Where nobody wants it, and where the contract does not know it."""
    api = Api(private(*options).url)
    api.agent("a1", queues=["a1"])
    time.sleep(5)
    for path in ("/v1/agents/data", "/v1/queues/a1/agents"):
        assert all("silent" not in a and "heard_at" not in a for a in api.get(path).json())
    assert "silent" not in api.get("/v1/agents/data/a1").json()


def test_an_agent_of_an_older_release(listening, api, agent):
    """Nobody knows when it was heard of: its last post counts."""
    storage_of(listening).set_silent(agent, 3600)
    falls_silent(api, agent)
    api.agent(agent, state="waiting")
    is_heard(api, agent)


def ask_until(server, job, agent, seconds):
    """An agent that asks for its job whatever the server does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            Api(server.url).get(f"/v1/result/{job}", headers=cookie(agent))
        except OSError:
            pass
        time.sleep(0.2)


def test_the_server_was_away(private, queue):
    """Stopped for longer than the lease and started again: each agent gets its time anew. One that
    is gone is found afterwards."""
    server = private("--job-lease", 6, *OPTIONS)
    api = Api(server.url)
    gone = queue + "-gone"
    for name in (queue, gone):
        api.agent(name, queues=[name])
    jobs = {name: take(api, name) for name in (queue, gone)}
    ask_until(server, jobs[queue], queue, 1)
    assert server.faults() == []
    time.sleep(8)
    server.start()
    began = time.monotonic()
    assert shown(api, queue) == shown(api, gone) == {False}
    time.sleep(1)
    assert {name: api.state(job) for name, job in jobs.items()} == dict.fromkeys(jobs, "test")
    ask_until(server, jobs[queue], queue, 9)
    assert api.state(jobs[queue]) == "test" and shown(api, queue) == {False}
    assert names(api, jobs[queue]) == ["job_claimed"]
    wait_until(lambda: api.state(jobs[gone]) == "cancelled" and is_silent(api, gone), "it is lost", 20)
    assert names(api, jobs[gone])[-2:] == ["agent_silent", "job_lost"]
    assert time.monotonic() - began < 60


@pytest.mark.stores("mongodb")
def test_the_store_was_away(private, mongod, queue):
    server = private("--job-lease", 3, "--store-timeout", 1000, *OPTIONS)
    api = Api(server.url)
    api.agent(queue, queues=[queue])
    job = take(api, queue)
    ask_until(server, job, queue, 4)
    mongod.stop()
    try:
        ask_until(server, job, queue, 5)
    finally:
        mongod.start()
    ask_until(server, job, queue, 6)
    assert api.state(job) == "test" and names(api, job) == ["job_claimed"]


@pytest.mark.stores("sqlite")
def test_no_broker(private, queue):
    """No worker hears anybody while the broker is away."""
    server = private("--job-lease", 8, "--agent-silent", 6, "--sweep-interval", 50)
    api = Api(server.url)
    api.agent(queue, queues=[queue])
    job = take(api, queue)
    ask_until(server, job, queue, 4)
    brokers = server.pids("broker")
    server.signal(19, brokers)
    ask_until(server, job, queue, 12)
    server.signal(18, [p for p in brokers if p in server.tree()])
    ask_until(server, job, queue, 6)
    assert api.state(job) == "test" and names(api, job) == ["job_claimed"]

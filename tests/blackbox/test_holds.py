"""Agents out of service and paused queues: what they are handed out, who sees and who changes it."""

import datetime
import time

import pytest

import auth
from client import Api, expect, expect_none, invalid, new_id
from stack import Stack, wait_until
from test_longpoll import park

pytestmark = pytest.mark.waits

LAG = 1.3  # seconds until every worker knows of a hold, on MongoDB; docs/api.md says up to 1 s


def cookie(agent):
    return f"agent_name={agent}"


def later(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def shown(api, agent):
    return expect(api.get(f"/v1/agents/data/{agent}"), 200).json()


def held(api, agent, mode, **fields):
    api.agent(agent, mode=mode, **fields)
    time.sleep(LAG)


@pytest.fixture
def agent(api):
    """An agent that serves a queue of its name."""
    name = new_id()
    api.agent(name, state="waiting", queues=[name], comment="its own")
    return name


@pytest.mark.parametrize("mode, state", [("MAINTENANCE", "maintenance"), ("Offline", "offline"),
                                         ("restart", "restart")])
def test_an_agent_that_is_not_online_gets_no_job(api, agent, mode, state):
    job = api.submit(agent)
    held(api, agent, mode, comment="new disk")
    for _ in range(4):  # whichever worker answers
        expect_none(api.claim(agent, cookie=cookie(agent)))
    seen = shown(api, agent)
    assert (seen["state"], seen["comment"], seen["mode"]) == (state, "new disk", mode.upper())
    listed = [a for a in api.get(f"/v1/queues/{agent}/agents").json() if a["name"] == agent]
    assert (listed[0]["state"], listed[0]["comment"]) == (state, "new disk")
    assert api.state(job) == "waiting"
    api.agent(agent, mode="ONLINE")
    assert api.claimed(agent, cookie=cookie(agent)) == job
    seen = shown(api, agent)
    assert (seen["state"], seen["comment"], seen["mode"]) == ("waiting", "its own", "ONLINE")


def test_what_the_agent_posts_does_not_end_its_mode(api, agent):
    api.submit(agent)
    held(api, agent, "MAINTENANCE", comment="new disk")
    own = {"headers": {"Cookie": cookie(agent)}}
    for body in ({"state": "waiting", "comment": ""}, {"state": "test", "job_id": ""}, {"mode": "ONLINE"},
                 {"queues": [agent], "location": "lab"}):
        expect(api.post(f"/v1/agents/data/{agent}", body, **own), 200)
        assert shown(api, agent)["state"] == "maintenance"
        expect_none(api.claim(agent, cookie=cookie(agent)))


def test_a_restart_ends_when_the_agent_was_started(api, agent):
    job = api.submit(agent)
    held(api, agent, "RESTART")
    own = {"headers": {"Cookie": cookie(agent)}}
    expect(api.post(f"/v1/agents/data/{agent}", {"state": "waiting", "comment": ""}, **own), 200)
    assert shown(api, agent)["state"] == "restart"
    expect_none(api.claim(agent, cookie=cookie(agent)))
    expect(api.post(f"/v1/agents/data/{agent}", {"queues": [agent], "location": "lab"}, **own), 200)
    assert shown(api, agent)["state"] == "waiting"
    assert api.claimed(agent, cookie=cookie(agent)) == job


def test_modes_are_checked(api, agent):
    path = f"/v1/agents/data/{agent}"
    assert "mode" in expect(api.post(path, {"mode": "AWAY", "comment": "x"}), 422).json()["detail"]["json"]
    for mode in ("maintenance", "OFFLINE"):
        for comment in ({}, {"comment": ""}):
            expect(api.post(path, {"mode": mode, **comment}), 422, invalid({"comment": ["A reason is required."]}))
    expect(api.post(path, {"mode": "OFFLINE", "comment": "é" * 513}), 422)
    expect(api.post(path, {"mode": "OFFLINE", "comment": "x", "mode_until": "soon"}), 422)
    expect(api.post(path, {"mode": "OFFLINE", "comment": "x", "mode_until": later(-5)}), 422,
           invalid({"mode_until": ["Must be in the future."]}))
    assert "mode" not in shown(api, agent)


@pytest.mark.slow
def test_a_mode_expires(api, agent):
    job = api.submit(agent)
    held(api, agent, "OFFLINE", comment="lunch", mode_until=later(6))
    assert shown(api, agent)["mode_until"]
    expect_none(api.claim(agent, cookie=cookie(agent)))
    wait_until(lambda: shown(api, agent)["state"] == "waiting", "the mode expires")
    assert api.claimed(agent, cookie=cookie(agent)) == job


@pytest.mark.slow
def test_polls_that_stand_when_the_mode_changes(server, api, agent):
    with park(server, agent, agent=agent) as poll:
        held(api, agent, "MAINTENANCE", comment="new disk")
        job = api.submit(agent)
        time.sleep(4)  # longer than polls wait until they ask again
        assert api.state(job) == "waiting"
        api.agent(agent, mode="ONLINE")
        assert poll.reply().json()["job_id"] == job


def test_a_paused_queue_takes_jobs_and_hands_out_none(server, api):
    queue, other, agent = new_id(), new_id(), new_id()
    api.agent(agent, queues=[queue], state="waiting")
    expect(api.post("/v1/agents/queues", {queue: "fast", other: "slow"}), 200)
    expect(api.post(f"/v1/queues/{queue}/pause", {"reason": "power cut in é2"}), 200, "OK")
    time.sleep(LAG)
    job, second = api.submit(queue), api.submit(other)
    for _ in range(4):
        expect_none(api.claim(queue))
    assert api.claimed(queue, other) == second
    reason = "power cut in ??2"
    position = expect(api.get(f"/v1/job/{job}/position"), 200, "0")
    assert position.headers["X-Queue-Paused"] == reason
    for what in ("agents", "jobs"):
        assert api.get(f"/v1/queues/{queue}/{what}").headers["X-Queue-Paused"] == reason
        assert "X-Queue-Paused" not in api.get(f"/v1/queues/{other}/{what}").headers
    described = expect(api.get("/v1/agents/queues"), 200).json()
    assert (described[queue], described[other]) == ("(paused: power cut in é2) fast", "slow")
    expect(api.post(f"/v1/queues/{queue}/resume"), 200, "OK")
    assert api.claimed(queue) == job
    assert "X-Queue-Paused" not in api.get(f"/v1/queues/{queue}/jobs").headers
    expect(api.post(f"/v1/queues/{queue}/resume"), 200, "OK")


def test_the_end_of_a_pause_wakes(server, api, queue):
    """A held poll asks then, not by itself after 3 s."""
    def resume():
        expect(api.post(f"/v1/queues/{queue}/pause", {"reason": "r"}), 200, "OK")
        time.sleep(LAG)
        job = api.submit(queue)
        with park(server, queue) as poll:
            began = time.monotonic()
            expect(api.post(f"/v1/queues/{queue}/resume"), 200, "OK")
            assert poll.reply().json()["job_id"] == job
            return time.monotonic() - began < 2.5

    assert any(resume() for _ in range(5))  # a busy machine may delay one


def test_pauses_are_checked(api):
    path = f"/v1/queues/{new_id()}/pause"
    expect(api.post(path), 422, invalid({"reason": ["A reason is required."]}))
    expect(api.post(path, {"reason": "r" * 1025}), 422)
    expect(api.post(path, {"reason": "r", "until": later(-5)}), 422, invalid({"until": ["Must be in the future."]}))
    expect(api.post(path, {"reason": "r", "why": "r"}), 422)
    expect(api.post(f"/v1/queues/{'q' * 257}/pause", {"reason": "r"}), 422)
    expect(api.post("/v1/queues/a%00b/pause", {"reason": "r"}), 422)


@pytest.mark.slow
def test_a_pause_expires(api):
    queue = new_id()
    expect(api.post(f"/v1/queues/{queue}/pause", {"reason": "r", "until": later(6)}), 200)
    job = api.submit(queue)
    time.sleep(LAG)
    expect_none(api.claim(queue))
    assert expect(api.get(f"/v1/job?queue={queue}&wait=20"), 200).json()["job_id"] == job


@pytest.fixture(scope="module")
def guarded(store_uri):
    with Stack(store_uri(), "--auth", "roles", env=auth.ENV) as stack:
        yield Api(stack.url)


def test_who_may_change_it_and_who_did(guarded):
    api, name = guarded, new_id()
    path, own = f"/v1/agents/data/{name}", auth.as_role("agent")
    manager, admin = auth.as_role("manager"), auth.as_role("admin")
    expect(api.post(path, {"state": "waiting", "queues": [name]}, headers=own), 200)
    for role in ("contributor", "agent"):
        for act in ("pause", "resume"):
            expect(api.post(f"/v1/queues/{name}/{act}", {"reason": "r"}, headers=auth.as_role(role)), 403)
    expect(api.post(path, {"mode": "OFFLINE", "comment": "c"}, headers=auth.as_role("contributor")), 403)
    expect(api.post(path, {"mode": "OFFLINE", "comment": "disk"}, headers=manager), 200)
    expect(api.post(path, {"mode": "ONLINE", "state": "waiting", "comment": ""}, headers=own), 200)
    seen = expect(api.get(path), 200).json()
    assert (seen["mode"], seen["state"], seen["comment"]) == ("OFFLINE", "offline", "disk")
    expect(api.post(path, {"state": "waiting", "comment": ""}, headers=admin), 200)  # today's command line
    assert expect(api.get(path), 200).json()["state"] == "waiting"
    expect(api.post(f"/v1/queues/{name}/pause", {"reason": "why"}, headers=manager), 200)
    expect(api.post(f"/v1/queues/{name}/resume", {"reason": "done"}, headers=manager), 200)
    entries = expect(api.get(f"/v1/audit?target={name}", headers=admin), 200).json()
    assert [(e["role"], e["action"], e["detail"]) for e in entries] == [
        ("manager", "queue.resume", {"reason": "done"}),
        ("manager", "queue.pause", {"reason": "why"}),
        ("admin", "agent.update", {"state": "waiting", "comment": ""}),
        ("manager", "agent.mode", {"mode": "OFFLINE", "comment": "disk"})]


def test_holds_stay_over_a_restart_of_the_server(private):
    stack = private(workers=2)
    api, queue = Api(stack.url), new_id()
    expect(api.post(f"/v1/queues/{queue}/pause", {"reason": "r"}), 200)
    api.agent(queue, mode="OFFLINE", comment="c", queues=[queue])
    api.submit(queue)
    for _ in range(2):
        stack.kill("worker")
    wait_until(lambda: api.get("/readyz").status_code == 200, "workers are back")
    expect_none(api.claim(queue))
    expect(api.post(f"/v1/queues/{queue}/resume"), 200)
    expect_none(api.claim(queue, cookie=cookie(queue)))


def refused(api, queue, text, **fields):
    assert expect(api.post("/v1/job", {"job_queue": queue, **fields}), 422).json()["message"] == text.format(queue)


NOBODY, OFFLINE = "No agent serves the queue '{}'", "No agent that serves the queue '{}' is online"


def test_jobs_say_what_becomes_of_them_in_unknown_queues(api):
    queue = new_id()
    for choice in ("refuse", "offline"):
        refused(api, queue, NOBODY, unknown_queue=choice)
    for wrong in ("Refuse", "", None, 1, ["refuse"]):
        expect(api.post("/v1/job", {"job_queue": queue, "unknown_queue": wrong}), 422,
               invalid({"unknown_queue": ["Must be one of: accept, refuse, offline."]}))
    api.submit(queue, unknown_queue="accept")
    api.submit(queue)
    api.agent(queue, queues=[queue], state="waiting")
    job = api.submit(queue, unknown_queue="offline", job_id=new_id())
    api.agent(queue, state="offline")
    refused(api, queue, OFFLINE, unknown_queue="offline")
    api.submit(queue, unknown_queue="refuse")
    expect(api.post("/v1/job", {"job_queue": queue, "job_id": job, "unknown_queue": "offline"}), 200)  # it is there
    api.agent(queue, state="waiting")
    api.submit(queue, unknown_queue="offline")
    held(api, queue, "MAINTENANCE", comment="c")
    refused(api, queue, OFFLINE, unknown_queue="offline")
    api.agent(new_id(), queues=[queue], state="test")
    api.submit(queue, unknown_queue="offline")


@pytest.mark.parametrize("setting, text", [("refuse", NOBODY), ("offline", NOBODY)])
@pytest.mark.slow
def test_the_setting_unknown_queues(private, setting, text):
    api, queue = Api(private("--unknown-queues", setting).url), new_id()
    refused(api, queue, text)
    api.submit(queue, unknown_queue="accept")
    api.agent(queue, queues=[queue], state="waiting")
    api.submit(queue)
    api.agent(queue, mode="OFFLINE", comment="c")
    time.sleep(LAG)
    if setting == "refuse":
        api.submit(queue)
    else:
        refused(api, queue, OFFLINE)


def test_a_queue_is_resumed_by_a_frontend_whose_clock_is_behind(api, storage, queue):
    job = api.submit(queue)
    expect(api.post(f"/v1/queues/{queue}/pause", {"reason": "x"}), 200)
    storage.move_pause(queue, 60)  # as a frontend that is ahead had stored it
    expect(api.post(f"/v1/queues/{queue}/resume"), 200)
    wait_until(lambda: (answer := api.claim(queue)).status_code == 200 and answer.json()["job_id"] == job, "it is resumed")

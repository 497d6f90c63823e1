"""Agents as they are read: one, all; provision logs and their streaks."""

import datetime

import pytest

import auth
from client import Api, MISSING, UNKNOWN, date_of, expect, expect_none, invalid, message, new_id
from storage import now, storage_of


def test_one_agent(api, queue):
    expect(api.get(f"/v1/agents/data/{queue}"), 404, {})
    api.agent(queue, state="waiting", queues=[queue], log=["a", "b"], mode="online", comment="c")
    agent = expect(api.get(f"/v1/agents/data/{queue}"), 200).json()
    assert date_of(agent.pop("updated_at"))
    assert agent == {"name": queue, "state": "waiting", "queues": [queue], "mode": "ONLINE",
                     "comment": "c", "restricted_to": {}, "silent": False}


def test_all_agents(api, queue):
    for end in "ab":
        api.agent(queue + end, state="offline", queues=[])
    agents = {a["name"]: a for a in expect(api.get("/v1/agents/data"), 200).json()}
    assert agents[queue + "a"]["state"] == "offline" and "log" not in agents[queue + "a"]
    assert agents[queue + "b"]["restricted_to"] == {}


def provision(api, name, exit_code, **fields):
    return api.post(f"/v1/agents/provision_logs/{name}", {"job_id": "j", "exit_code": exit_code, **fields})


def streak(api, name):
    agent = api.get(f"/v1/agents/data/{name}").json()
    return agent.get("provision_streak_type"), agent.get("provision_streak_count")


def test_streaks(api, strict, queue):
    expect(provision(api, queue, 0), 404, message("Agent not found"))
    expect(provision(strict, queue, 0), 404, "Agent not found\n")
    api.agent(queue, state="provision")
    before = api.get(f"/v1/agents/data/{queue}").json()["updated_at"]
    assert streak(api, queue) == (None, None)
    for code, expected in [(0, ("pass", 1)), (0, ("pass", 2)), (7, ("fail", 1)), (-1, ("fail", 2)),
                           (1, ("fail", 3)), (0, ("pass", 1))]:
        expect(provision(api, queue, code, detail="d"), 200, "OK")
        assert streak(api, queue) == expected
    agent = api.get(f"/v1/agents/data/{queue}").json()
    assert agent["state"] == "provision" and agent["updated_at"] == before
    api.agent(queue, state="waiting")
    assert streak(api, queue) == ("pass", 1)


def test_provision_log_faults(api, queue):
    path = f"/v1/agents/provision_logs/{queue}"
    expect(api.post(path, {}), 422, invalid({"job_id": [MISSING], "exit_code": [MISSING]}))
    expect(api.post(path, {"job_id": "x", "exit_code": "a", "z": 1}), 422,
           invalid({"exit_code": ["Not a valid integer."], "z": [UNKNOWN]}))
    expect(api.get(path), 405)


@pytest.mark.stores("mongodb")
def test_provision_log_documents(api, db, queue):
    expect(provision(api, queue, 3, detail="first"), 404)
    api.agent(queue, state="x")
    for n in range(105):
        expect(provision(api, queue, n), 200)
    document = db.provision_logs.find_one({"name": queue})
    assert (document["job_id"], document["exit_code"], document["detail"]) == ("j", 104, "first")
    log = document["provision_log"]
    assert [e["exit_code"] for e in log] == list(range(5, 105))
    assert set(log[0]) == {"job_id", "exit_code", "timestamp", "request"}


@pytest.mark.stores("mongodb")
def test_provision_log_names_the_submitter(private, queue):
    """client_id, where the job has one; clients cannot set it."""
    server = private(env=auth.ENV)
    api, db = Api(server.url), storage_of(server).db
    api.agent(queue, state="x")
    headers = auth.as_role("contributor", "lena")
    job_id = expect(api.post("/v1/job", {"job_queue": queue}, headers=headers), 200).json()["job_id"]
    for job in (job_id, api.submit(queue), new_id(), "no id"):
        expect(provision(api, queue, 0, job_id=job), 200, "OK")
    expect(provision(api, queue, 0, client_id="x"), 422, invalid({"client_id": [UNKNOWN]}))
    document = db.provision_logs.find_one({"name": queue})
    assert [e.get("client_id") for e in document["provision_log"]] == ["lena", None, None, None]


def job_of(api, name):
    """The job and its submitter, as both lists show them; checks that they agree."""
    agent = expect(api.get(f"/v1/agents/data/{name}"), 200).json()
    (listed,) = [a for a in api.get(f"/v1/queues/{name}/agents").json() if a["name"] == name]
    shown = agent.get("job_id"), agent.get("submitted_by")
    assert shown == (listed.get("job_id"), listed.get("submitted_by")) and "claimed_at" not in agent
    return shown


ENDS = {
    "complete": lambda api, j: api.set_state(j, "complete"),
    "completed": lambda api, j: api.set_state(j, "completed"),
    "by a user": lambda api, j: expect(api.post(f"/v1/job/{j}/action", {"action": "cancel"}), 200),
    "submitted again": lambda api, j: expect(api.post("/v1/job", {"job_queue": "x", "job_id": j}), 200),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_job_of_an_agent(api, queue, end):
    """Set at the claim, cleared at the end, whoever ends it; another job stays."""
    api.agent(queue, queues=[queue])
    cookie, job_id = f"agent_name={queue}", api.submit(queue)
    assert job_of(api, queue) == (None, None)
    expect_none(api.claim(queue + "-empty", cookie=cookie))
    assert api.claimed(queue, cookie=cookie) == job_id
    assert job_of(api, queue) == (job_id, None)
    api.set_state(job_id, "test")
    assert job_of(api, queue) == (job_id, None)
    ENDS[end](api, job_id)
    assert job_of(api, queue) == ("", None)
    following = api.submit(queue)
    assert api.claimed(queue, cookie=cookie) == following
    if end != "submitted again":
        api.set_state(job_id, "completed")
    assert job_of(api, queue) == (following, None)
    api.agent(queue, job_id="")  # older agents do it themselves
    assert job_of(api, queue) == ("", None)
    api.set_state(following, "complete")


@pytest.mark.stores("mongodb")
@pytest.mark.parametrize("ahead_s, shown", [(0.5, True), (60, False)])
def test_workers_whose_clocks_differ(api, db, queue, ahead_s, shown):
    """The claim before was stored by a worker that is ahead; a claim that is late by far changes nothing."""
    api.agent(queue, queues=[queue])
    cookie, claimed = f"agent_name={queue}", now() + datetime.timedelta(seconds=ahead_s)
    assert db.agents.update_one({"name": queue}, {"$set": {"claimed_at": claimed}}).matched_count == 1
    job_id = api.submit(queue)
    assert api.claimed(queue, cookie=cookie) == job_id
    assert job_of(api, queue) == (job_id if shown else None, None)


def test_the_job_of_an_unknown_agent(api, queue):
    """A claim makes no agent."""
    api.submit(queue)
    api.claimed(queue, cookie=f"agent_name={queue}")
    expect(api.get(f"/v1/agents/data/{queue}"), 404)


def test_who_submitted_the_job_of_an_agent(private, queue):
    api = Api(private(env=auth.ENV).url)
    api.agent(queue, queues=[queue])
    cookie, headers = f"agent_name={queue}", auth.as_role("contributor", "lena")
    job_id = expect(api.post("/v1/job", {"job_queue": queue}, headers=headers), 200).json()["job_id"]
    assert api.claimed(queue, cookie=cookie) == job_id
    assert job_of(api, queue) == (job_id, "lena")
    api.agent(queue, job_id=job_id, state="setup")
    assert job_of(api, queue) == (job_id, "lena")
    api.agent(queue, job_id=new_id())
    assert job_of(api, queue)[1] is None
    api.agent(queue, job_id=job_id)
    api.set_state(job_id, "complete")
    assert job_of(api, queue) == ("", None)
    following = api.submit(queue)
    assert api.claimed(queue, cookie=cookie) == following
    assert job_of(api, queue) == (following, None)

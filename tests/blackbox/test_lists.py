"""GET /v1/jobs and GET /v1/agents: filters, fields, pages."""

import base64
import datetime
import re
import time

import pytest

import auth
from client import Api, UNKNOWN, date_of, expect, message, new_id
from storage import now

FIELDS = ["job_id", "name", "job_queue", "job_state", "job_priority", "created_at", "started_at", "ended_at",
          "end_reason", "agent", "submitted_by", "tags"]


def jobs(api, **params):
    return expect(api.get("/v1/jobs", params=params), 200).json()


def ids(api, **params):
    return [job["job_id"] for job in jobs(api, **params)]


def pages(api, path, **params):
    """The lists on all pages."""
    answer = expect(api.get(path, params=params), 200)
    yield answer.json()
    while "next" in answer.links:
        answer = expect(api.get(path + answer.links["next"]["url"]), 200)
        yield answer.json()


def wrong(**errors):
    return {"detail": {"query": {name: [text] for name, text in errors.items()}}, "message": "Validation error"}


def test_a_job_has_all_fields(api, storage, queue):
    job = api.submit(queue, name="n\0🐧", tags=["b", "a"])
    storage.set_priority(job, 3)
    shown, = jobs(api, queue=queue)
    assert list(shown) == FIELDS
    assert date_of(shown.pop("created_at"), "iso")
    waiting = {"job_id": job, "name": "n\0🐧", "job_queue": queue, "job_state": "waiting", "job_priority": 3,
               "started_at": None, "ended_at": None, "end_reason": None, "agent": None, "submitted_by": None,
               "tags": ["b", "a"]}
    assert shown == waiting
    api.claimed(queue, cookie=f"agent_name={queue}")
    shown, = jobs(api, queue=queue)
    started = shown["started_at"]
    assert date_of(started, "iso") and shown["agent"] == queue and shown["job_state"] == "running"
    api.set_state(job, "complete")
    shown, = jobs(api, queue=queue)
    assert shown["started_at"] == started and shown["job_state"] == "complete"
    assert date_of(shown["ended_at"], "iso") >= date_of(started, "iso")
    assert jobs(api, queue=queue, fields="job_id,name") == [{"job_id": job, "name": "n\0🐧"}]
    assert jobs(api, queue=queue, fields=["job_state", "agent"]) == [{"job_state": "complete", "agent": queue}]


def test_a_cancelled_job_has_its_end(api, queue):
    job = api.submit(queue)
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 200)
    shown, = jobs(api, queue=queue)
    assert date_of(shown["ended_at"], "iso") and shown["started_at"] is None


def test_filters(api, queue, name):
    a, b = f"{name}-a", f"{name}-b"
    first = api.submit(queue, tags=[a])
    both = api.submit(queue, tags=[b, a, "x"])
    other = api.submit(name, tags=[b])
    assert ids(api, queue=queue) == [both, first]
    assert ids(api, tag=a) == [both, first] and ids(api, tag=[a, b]) == ids(api, tag=[b, a]) == [both]
    assert ids(api, tag=b) == [other, both] and ids(api, tag=b, queue=name) == [other]
    assert api.claimed(queue, cookie=f"agent_name={name}") == first
    assert ids(api, queue=queue, state="waiting") == [both] and ids(api, queue=queue, state="running") == [first]
    assert ids(api, tag=a, state=["running", "waiting"]) == [both, first]
    assert ids(api, agent=name) == [first] and ids(api, agent=name, tag=b) == []
    api.set_state(first, "complete")
    assert ids(api, queue=queue, state="active") == [both] and ids(api, tag=a, state="complete") == [first]
    assert ids(api, agent=name) == [first] and ids(api, agent=name, state="active") == []
    assert first in ids(api, state="complete", limit=1000) and other in ids(api, state="active", limit=1000)
    assert ids(api, limit=2) == [other, both]
    for nothing in ({"queue": new_id()}, {"tag": new_id()}, {"agent": new_id()}, {"submitter": new_id()},
                    {"queue": queue + "\0"}, {"tag": "🐧"}):
        assert jobs(api, **nothing) == []


def test_times(api, storage, queue):
    young, middle, old = (api.submit(queue, tags=[queue]) for _ in range(3))
    for job, age in ((young, 100), (middle, 200), (old, 300)):
        storage.set_age(job, age)
    def ago(seconds):
        return (now() - datetime.timedelta(seconds=seconds)).isoformat()
    assert ids(api, queue=queue) == [young, middle, old]
    assert ids(api, queue=queue, since=ago(250)) == [young, middle]
    assert ids(api, queue=queue, until=ago(150)) == [middle, old]
    assert ids(api, queue=queue, since=ago(250), until=ago(150)) == [middle]
    assert ids(api, queue=queue, since=ago(150), until=ago(250)) == []
    exact = jobs(api, queue=queue)[1]["created_at"]
    assert middle in ids(api, queue=queue, since=exact) and middle not in ids(api, queue=queue, until=exact)
    assert middle in ids(api, since=exact, until=ago(195), limit=1000)  # of all queues
    for word in ("yesterday", "", "2026-13-01T00:00:00Z", "5"):
        expect(api.get("/v1/jobs", params={"since": word}), 422, wrong(since="Not a valid datetime."))


@pytest.mark.parametrize("filters", [("queue",), ("tag",), ("tag", "queue"), ("agent",), ("queue", "state")])
def test_pages_have_each_job_once(api, queue, filters):
    """Also where jobs come and go meanwhile."""
    params = {"state": "running", "limit": 3}
    params.update({name: queue for name in filters if name != "state"})
    made = []
    for _ in range(8):
        made.insert(0, api.submit(queue, tags=[queue]))
        api.claimed(queue, cookie=f"agent_name={queue}")
    seen = []
    for page in pages(api, "/v1/jobs", **params):
        assert len(page) <= 3
        seen += [job["job_id"] for job in page]
        api.submit(queue, tags=[queue])
        api.claimed(queue, cookie=f"agent_name={queue}")
        api.submit(queue, tags=[queue])
    assert seen == made


def test_jobs_of_the_same_time(api, storage, queue):
    made = [api.submit(queue) for _ in range(7)]
    then = now()
    for job in made:
        storage.set_created(job, then)
    found = [job["job_id"] for page in pages(api, "/v1/jobs", queue=queue, limit=2) for job in page]
    assert sorted(found) == sorted(made)


def test_limits(api, queue):
    for _ in range(60):
        api.submit(queue, tags=[queue])
    answer = expect(api.get("/v1/jobs", params={"queue": queue}), 200)
    assert len(answer.json()) == 50
    assert "limit" not in answer.links["next"]["url"] and f"queue={queue}" in answer.links["next"]["url"]
    for limit in (60, 1000, 5000, 999999999):
        answer = expect(api.get("/v1/jobs", params={"queue": queue, "limit": limit}), 200)
        assert len(answer.json()) == 60 and "Link" not in answer.headers
    for limit in (0, -1, "x", "", 10**10):
        expect(api.get("/v1/jobs", params={"limit": limit}), 422, wrong(limit="Must be a whole number from 1 on."))


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/agents"])
def test_bad_queries(api, path):
    for name in ("tags", "search", "stat", "dates", "a\0b", "🐧"):
        expect(api.get(path, params={name: "x"}), 422, wrong(**{name: UNKNOWN}))
    for name in ("queue", "since", "limit", "submitter", "cursor"):
        answer = expect(api.get(path, params=[(name, "1")] * 2), 422)
        assert answer.json()["detail"]["query"][name] == ["May be given only once."] or name in ("since", "cursor")
    expect(api.get(path, params={"fields": ","}), 422, wrong(fields="Name at least one field."))
    expect(api.get("/v1/jobs", params={"state": "lost"}), 422)
    for fields in ("job_data", "job_id,x", "\0", "🐧"):
        expect(api.get("/v1/jobs", params={"fields": fields}), 422,
               wrong(fields="Jobs have no such field in this list."))


def test_cursors_are_checked(api, queue):
    for _ in range(3):
        api.submit(queue, tags=[queue])
    query = {"queue": queue, "limit": 1}
    link = expect(api.get("/v1/jobs", params=query), 200).links["next"]["url"]
    cursor = re.search("cursor=([^&]*)", link)[1]
    refused = wrong(cursor="Not a cursor of this list with these filters.")
    assert len(jobs(api, queue=queue, cursor=cursor, limit=9, fields="job_id")) == 2
    for other in ({"queue": queue, "state": "waiting"}, {"tag": queue}, {"queue": queue + "x"}, {}):
        expect(api.get("/v1/jobs", params={**other, "cursor": cursor}), 422, refused)
    expect(api.get("/v1/agents", params={"queue": queue, "cursor": cursor}), 422, refused)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    place = raw[16:]
    for forged in (raw[:15], raw[:16], raw[:-1], raw + b"0", raw[:16] + place[::-1], bytes(16) + place, place, b"\xff",
                   raw[:16] + b"9" * 300):
        text = base64.urlsafe_b64encode(forged).decode().rstrip("=")
        expect(api.get("/v1/jobs", params={**query, "cursor": text}), 422, refused)
    for text in ("", "x", "1", "🐧", cursor[:-3], cursor + "A", "A" * 600, "A\0"):
        expect(api.get("/v1/jobs", params={**query, "cursor": text}), 422, refused)
    old = expect(api.get(f"/v1/queues/{queue}/jobs?limit=1"), 200).links["next"]["url"]
    expect(api.get("/v1/jobs" + old), 422, refused)


def test_a_client_that_has_the_page(api, queue):
    job = api.submit(queue)
    first = expect(api.get("/v1/jobs", params={"queue": queue}), 200)
    same = {"If-None-Match": first.headers["ETag"]}
    assert expect(api.get("/v1/jobs", params={"queue": queue}, headers=same), 304).content == b""
    api.set_state(job, "test")
    assert expect(api.get("/v1/jobs", params={"queue": queue}, headers=same), 200).json()[0]["job_state"] == "test"
    head = api.head("/v1/jobs", params={"queue": queue})
    assert head.status_code == 200 and head.content == b""


def test_submitters(roles_server, queue):
    api = Api(roles_server.url)
    anna, bert = (auth.as_role("contributor", client_id=f"{queue}-{n}") for n in "ab")
    mine = expect(api.post("/v1/job", {"job_queue": queue}, headers=anna), 200).json()["job_id"]
    his = expect(api.post("/v1/job", {"job_queue": queue}, headers=bert), 200).json()["job_id"]
    def seen(who, **params):
        answer = expect(api.get("/v1/jobs", params=params, headers=who), 200)
        return [(job["job_id"], job["submitted_by"]) for job in answer.json()]
    assert seen(anna, queue=queue) == [(his, f"{queue}-b"), (mine, f"{queue}-a")]
    assert seen(anna, submitter="me") == seen(bert, submitter=f"{queue}-a") == [(mine, f"{queue}-a")]
    assert seen(bert, submitter="me", state="active") == [(his, f"{queue}-b")]
    assert seen(bert, submitter="me", state="complete") == []


def test_me_needs_a_token(open_server):
    api = Api(open_server.url)
    expect(api.get("/v1/jobs?submitter=me"), 401, message("A token is needed to tell which jobs are yours"))


def test_tags_with_nul(api, queue):
    tag, longer, begin = f"{queue}\0a", f"{queue}\0a\0", queue
    job, other, third = (api.submit(queue, tags=[t]) for t in (tag, longer, begin))
    for t, found in ((tag, job), (longer, other), (begin, third)):
        assert ids(api, tag=t) == ids(api, tag=t, state="waiting") == [found]
        for query in ({}, {"match": "all"}, {"state": "waiting"}):
            answer = expect(api.get("/v1/job/search", params={"tags": t, **query}), 200).json()
            assert [j["job_id"] for j in answer] == [found]
        cancel = expect(api.post("/v1/jobs/cancel", {"tags": [t]}), 200).json()
        assert cancel["job_ids"] == [found]
    assert ids(api, tag=["🐧", tag]) == []


def test_a_job_that_is_submitted_again(api, queue):
    """It gets the place and the tags of its last submission."""
    again, tag = new_id(), f"{queue}-t"
    api.submit(queue, job_id=again, tags=[queue])
    time.sleep(0.01)
    other = api.submit(queue, tags=[tag])
    time.sleep(0.01)
    api.submit(queue, job_id=again, tags=[tag])
    assert ids(api, queue=queue) == ids(api, tag=tag) == [again, other] and ids(api, tag=queue) == []
    old = expect(api.get(f"/v1/queues/{queue}/jobs"), 200).json()
    assert [job["job_id"] for job in old] == [other, again]


# ---- agents ----

def agents(api, **params):
    return expect(api.get("/v1/agents", params=params), 200).json()


def test_agents(api, queue):
    names = [f"{queue}-{n}" for n in range(4)]
    for i, name in enumerate(names):
        api.agent(name, state="waiting" if i % 2 else "offline", queues=[queue], location="lab")
    shown = agents(api, queue=queue)
    assert [a["name"] for a in shown] == names
    data = expect(api.get(f"/v1/agents/data/{names[1]}", params={"dates": "iso"}), 200).json()
    assert shown[1] == data
    assert [a["name"] for a in agents(api, queue=queue, state="waiting")] == names[1::2]
    assert [a["name"] for a in agents(api, queue=queue, state=["waiting", "offline"])] == names
    assert agents(api, queue=queue, state="waiting", fields="name,location") == [
        {"name": name, "location": "lab"} for name in names[1::2]]
    assert names[2] in [a["name"] for a in agents(api, state="offline", limit=1000)]
    assert agents(api, queue=new_id()) == agents(api, queue=queue, state="🐧") == []
    found = [a["name"] for page in pages(api, "/v1/agents", queue=queue, state="offline", limit=1) for a in page]
    assert found == names[::2]
    same = expect(api.get("/v1/agents", params={"queue": queue}), 200).headers["ETag"]
    expect(api.get("/v1/agents", params={"queue": queue}, headers={"If-None-Match": same}), 304)


def test_agents_by_time_and_job(roles_server, queue):
    api, who = Api(roles_server.url), auth.as_role("contributor", client_id=queue)
    agent = auth.as_role("agent")
    expect(api.post(f"/v1/agents/data/{queue}", {"state": "waiting", "queues": [queue]}, headers=agent), 200)
    def seen(**params):
        return [a["name"] for a in expect(api.get("/v1/agents", params=params, headers=who), 200).json()]
    shown, = expect(api.get("/v1/agents", params={"queue": queue}, headers=who), 200).json()
    when = shown["updated_at"]
    assert seen(queue=queue, since=when) == [queue] and seen(queue=queue, until=when) == []
    assert seen(submitter=queue) == []
    expect(api.post("/v1/job", {"job_queue": queue}, headers=who), 200)
    expect(api.get("/v1/job", params={"queue": queue},
                   headers={**agent, "Cookie": f"agent_name={queue}"}), 200)
    assert seen(submitter=queue) == seen(submitter=queue, queue=queue) == [queue]


def test_an_agent_out_of_service(api, queue):
    """It is listed by the state that is shown."""
    api.agent(queue, state="waiting", queues=[queue])
    api.agent(queue, mode="MAINTENANCE", comment="new disk")
    assert agents(api, queue=queue, state="waiting") == []
    assert agents(api, queue=queue, state="maintenance", fields="name,comment") == [
        {"name": queue, "comment": "new disk"}]

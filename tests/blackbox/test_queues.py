"""Queues: descriptions, images, who serves them, their jobs, wait times; lists page by page."""

import re
import time
import uuid

import pytest

from client import (BAD_REQUEST, WRONG_TYPE, Api, date_of, expect, expect_none, invalid, message,
                    new_id)


def schema(text):
    return invalid({"_schema": [text]})


# Descriptions

def test_descriptions(api, queue):
    expect(api.post("/v1/agents/queues", {queue: "one", queue + ".b": "", queue + "$": "caf\u00e9"}), 200, "OK")
    expect(api.post("/v1/agents/queues", {queue: "two"}), 200, "OK")
    queues = expect(api.get("/v1/agents/queues"), 200).json()
    assert queues[queue] == "two"
    assert queues[queue + ".b"] == "" and queues[queue + "$"] == "caf\u00e9"
    expect(api.post("/v1/agents/queues", {}), 200, "OK")


@pytest.mark.parametrize("body, text", [
    ({"": "x"}, "Queue names must be non-empty strings"),
    ({"q1": 5}, "Description for queue 'q1' must be a string"),
    ({"q1": None}, "Description for queue 'q1' must be a string"),
    ({"q1": "x", "q2": []}, "Description for queue 'q2' must be a string"),
])
def test_bad_descriptions(api, queue, body, text):
    body = {queue: "x", **body}
    expect(api.post("/v1/agents/queues", body), 422, schema(text))
    assert queue not in api.get("/v1/agents/queues").json()


@pytest.mark.alike
@pytest.mark.parametrize("path", ["/v1/agents/queues", "/v1/agents/images"])
@pytest.mark.parametrize("body, answer", [
    ("[]", (422, WRONG_TYPE)), ("null", (422, WRONG_TYPE)), ('"x"', (422, WRONG_TYPE)),
    ("{", (400, BAD_REQUEST)), ("", (200, "OK")), ('{"q": 99999999999999999999}', (422, None)),
])
def test_bodies_that_are_no_object(api, path, body, answer):
    expect(api.post_body(path, body), *answer)


def test_another_content_type_is_an_empty_object(api, queue):
    expect(api.post_body("/v1/agents/queues", f'{{"{queue}": "x"}}', "text/plain"), 200, "OK")
    assert queue not in api.get("/v1/agents/queues").json()


# Images

def test_images(api, queue):
    images = {"core22": "url: http://img.example.com/c.xz", "ubuntu-22.04": "distro: jammy"}
    expect(api.get(f"/v1/agents/images/{queue}"), 200, {})
    expect(api.post("/v1/agents/images", {queue: images}), 200, "OK")
    expect(api.get(f"/v1/agents/images/{queue}"), 200, images)
    expect(api.post("/v1/agents/images", {queue: {"b": "x"}}), 200, "OK")
    expect(api.get(f"/v1/agents/images/{queue}"), 200, {"b": "x"})
    assert api.get("/v1/agents/queues").json()[queue] == ""
    expect(api.get("/v1/agents/images"), 405)


@pytest.mark.parametrize("body, text", [
    ({"": {}}, "Queue names must be non-empty strings"),
    ({"q1": "x"}, "Images for queue 'q1' must be a dict"),
    ({"q1": {"": "x"}}, "Names for queue 'q1' must be non-empty strings, must not start with '$', "
                        "contain '.' or null bytes"),
    ({"q1": {"$a": "x"}}, "Names for queue 'q1' must be non-empty strings, must not start with '$', "
                          "contain '.' or null bytes"),
    ({"q1": {"i": 5}}, "Provision data for image 'i' in queue 'q1' must be a string"),
])
def test_bad_images(api, body, text):
    expect(api.post("/v1/agents/images", body), 422, schema(text))


@pytest.mark.stores("mongodb")
def test_documents_of_queues(api, db, queue):
    expect(api.post("/v1/agents/images", {queue: {"a.b": "x"}}), 200, "OK")
    document = db.queues.find_one({"name": queue}, {"_id": False, "requests": False})
    assert document == {"name": queue, "images": {"a.b": "x"}}
    expect(api.post("/v1/agents/queues", {queue: "d"}), 200, "OK")
    document = db.queues.find_one({"name": queue})
    assert document["description"] == "d" and document["images"] == {"a.b": "x"}
    assert abs(document["updated_at"].timestamp() - time.time()) < 10


# Who serves a queue

def test_agents_of_a_queue(api, queue):
    expect(api.get(f"/v1/queues/{queue}/agents"), 200, [])
    api.agent(queue + "-a", state="waiting", queues=[queue, "x"], location="l", provision_type="p",
              comment="c", job_id="", identifier="i", log=["line"])
    api.agent(queue + "-b", queues=["x", queue])
    api.agent(queue + "-c", state="waiting", queues=["x"])
    agents = expect(api.get(f"/v1/queues/{queue}/agents"), 200).json()
    assert sorted(agents, key=lambda a: a["name"]) == [
        {"name": queue + "-a", "state": "waiting", "queues": [queue, "x"], "location": "l",
         "provision_type": "p", "job_id": "", "comment": "c"},
        {"name": queue + "-b", "state": "unknown", "queues": ["x", queue]}]


# Jobs of a queue

def test_jobs_of_a_queue(api, queue):
    expect_none(api.get(f"/v1/queues/{queue}/jobs"))
    ids = [api.submit(queue) for _ in range(3)]
    assert api.claimed(queue) == ids[0]
    jobs = expect(api.get(f"/v1/queues/{queue}/jobs"), 200).json()
    assert [j["job_id"] for j in jobs] == ids
    assert [j["job_state"] for j in jobs] == ["running", "waiting", "waiting"]
    assert all(set(j) == {"job_id", "created_at", "job_state", "job_queue"} for j in jobs)
    assert all(date_of(j["created_at"]) and j["job_queue"] == queue for j in jobs)


def next_page(response):
    link = response.headers.get("Link")
    return re.fullmatch(r'<(\?[^>]*)>; rel="next"', link)[1] if link else None


def test_pages(api, queue):
    """Opt in by limit and cursor; without them the list is whole."""
    ids = [api.submit(queue, tags=[queue, "a&b"]) for _ in range(7)]
    for path in [f"/v1/queues/{queue}/jobs?limit=3", f"/v1/job/search?tags={queue}&limit=3",
                 f"/v1/job/search?tags={queue}&tags=a%26b&match=all&state=waiting&limit=3"]:
        found, sizes, base = [], [], path.split("?")[0]
        while path:
            response = expect(api.get(path), 200)
            found += [j["job_id"] for j in response.json()]
            sizes.append(len(response.json()))
            page = next_page(response)
            path = page and base + page
        assert found == ids and sizes == [3, 3, 1]
    assert "Link" not in api.get(f"/v1/queues/{queue}/jobs").headers
    assert "Link" not in api.get(f"/v1/queues/{queue}/jobs?limit=7").headers


@pytest.mark.alike
@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=", "cursor=x", "cursor=",
                                   "cursor=" + "9" * 70, "cursor=5-zz"])
def test_bad_pages(api, queue, query):
    for path in (f"/v1/queues/{queue}/jobs", "/v1/job/search"):
        response = expect(api.get(f"{path}?{query}"), 422).json()
        assert set(response["detail"]["query"]) == {query.split("=")[0]}


# Wait times

def test_wait_times(api, storage, queue):
    api.submit(queue)
    api.claimed(queue)
    other = queue + "-b"
    for age in (3, 7):
        job_id = api.submit(other)
        storage.set_age(job_id, age + 0.5)
        api.claimed(other)
    expect(api.get(f"/v1/queues/wait_times?queue={queue}"), 200,
           {queue: {p: 0 for p in ("5", "10", "50", "90", "95")}})
    times = api.get(f"/v1/queues/wait_times?queue={other}&queue={queue}-none&queue={other}").json()
    assert set(times) == {other}
    expected = {"5": 3.2, "10": 3.4, "50": 5, "90": 6.6, "95": 6.8}
    assert times[other] == pytest.approx(expected)
    everything = api.get("/v1/queues/wait_times").json()
    assert everything[other] == times[other] and queue in everything


@pytest.mark.stores("mongodb")
def test_wait_times_of_other_servers(api, db, queue):
    """Lists that were never cut are read; the newest values count."""
    name = uuid.uuid4().hex
    db.queue_wait_times.insert_one({"name": name, "wait_times": [9] * 5000 + list(range(1000))})
    times = api.get(f"/v1/queues/wait_times?queue={name}").json()[name]
    assert times["50"] == pytest.approx(499.5) and times["95"] == pytest.approx(949.05)
    db.queue_wait_times.insert_one({"name": name + "e", "wait_times": []})
    assert api.get(f"/v1/queues/wait_times?queue={name}e").json() == {name + "e": {}}


# Search

def found(api, query):
    return [j["job_id"] for j in expect(api.get(f"/v1/job/search?{query}"), 200).json()]


def test_search(api, queue):
    one = api.submit(queue, tags=[queue, "x"])
    two = api.submit(queue, tags=["x", queue + "2", queue])
    three = api.submit(queue, tags=[queue + "2"])
    assert found(api, f"tags={queue}") == [one, two]
    assert found(api, f"tags={queue}&tags={queue}2") == [one, two, three]
    assert found(api, f"tags={queue}&tags={queue}2&match=all") == [two]
    assert found(api, f"tags={queue}&tags={queue}&match=all") == [one, two]
    assert found(api, f"tags={queue}3") == []
    api.set_state(one, "setup")
    api.set_state(two, "complete")
    assert found(api, f"tags={queue}&state=setup") == [one]
    assert found(api, f"tags={queue}&tags={queue}2&state=active") == [one, three]
    assert found(api, f"tags={queue}&tags={queue}2&state=setup&state=complete") == [one, two]
    assert found(api, f"tags={queue}2&state=waiting") == [three]
    assert found(api, f"tags={queue}2&state=cancelled&state=active") == [three]
    (job,) = api.get(f"/v1/job/search?tags={queue}&state=setup").json()
    assert set(job) == {"job_id", "created_at", "job_state"} and date_of(job["created_at"])
    api.documented = False  # tests of other programs' documents leave jobs without dates
    assert one in found(api, "") and one in found(api, "state=active")


@pytest.mark.slow
@pytest.mark.parametrize("more", [0, 120])  # states that nobody knows
def test_search_by_states_alone(private, queue, more):
    """Jobs of several states come in the order of their submission, page by page: by the times that two workers
    gave them, which may differ by half a measurement of mongod's clock."""
    api = Api(private().url)
    states = ["waiting", "complete", "setup", "odd", "waiting", "cancelled", "test", "setup", "completed"]
    states += [f"odd-{i}" for i in range(more)]
    jobs = [api.submit(queue) for _ in states]
    for job_id, state in zip(jobs, states):
        if state == "cancelled":
            expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200)
        elif state != "waiting":
            api.set_state(job_id, state)
    over = ("complete", "completed", "cancelled")
    for query, wanted in [("state=active", [s for s in states if s not in over]),
                          ("state=active&state=complete", [s for s in states if s not in over]),
                          ("state=setup&state=waiting", ["waiting", "setup", "waiting", "setup"]),
                          ("state=cancelled&state=completed&state=complete&state=complete",
                           ["complete", "cancelled", "completed"]), ("state=reserve", [])]:
        got, page = [], f"?{query}&limit=2"
        while page:
            response = expect(api.get("/v1/job/search" + page), 200)
            got += [(j["created_at"]["$date"], j["job_id"], j["job_state"]) for j in response.json()]
            page = next_page(response)
        assert [at for at, *_ in got] == sorted(at for at, *_ in got)
        assert {j: s for _, j, s in got} == {j: s for j, s in zip(jobs, states) if s in wanted}
        assert len(got) == len({j for _, j, _ in got})


def test_resubmitted_job_is_found_by_its_new_tags(api, queue):
    job_id = new_id()
    api.submit(queue, job_id=job_id, tags=[queue + "-old"])
    api.submit(queue, job_id=job_id, tags=[queue + "-new"])
    assert found(api, f"tags={queue}-old") == [] and found(api, f"tags={queue}-new") == [job_id]


def query_fault(**errors):
    return {"detail": {"query": errors}, "message": "Validation error"}


def test_bad_searches(api):
    states = ["Must be one of: setup, provision, firmware_update, test, allocate, allocated, "
              "reserve, cleanup, cancelled, completed, active."]
    expect(api.get("/v1/job/search?match=some"), 422,
           query_fault(match=["Must be one of: any, all."]))
    expect(api.get("/v1/job/search?state=setup&state=zz&match=x"), 422,
           query_fault(match=["Must be one of: any, all."], state={"1": states}))
    expect(api.get("/v1/job/search?match=any&match=x&foo=bar&tags=none-such"), 200, [])
    expect(api.post("/v1/job/search", {}), 405, message("Method Not Allowed"))

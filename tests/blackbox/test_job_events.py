"""What happened to a job: GET /v1/events/job/<job_id>."""

import datetime
import time

import pytest

from client import Api, BAD_ID, expect, message, new_id
from receiver import Receiver
from stack import Port, Stack, wait_until
from storage import now, storage_of
from test_webhooks import event

MAX, BYTES = 256, 64 * 1024  # of a job (worker/store/job_events.h)


@pytest.fixture(scope="module")
def hooks(store_uri):
    with Stack(store_uri(), "--job-lease", 2, "--sweep-interval", 50, webhooks=1) as stack:
        yield stack


@pytest.fixture(scope="module")
def nobody():
    """A URL at which nobody listens: events are kept with the job whatever their receiver does."""
    port = Port()
    yield f"http://127.0.0.1:{port.number}/x"
    port.release()


@pytest.fixture
def api(hooks):
    return Api(hooks.url)


def one(name, detail="", timestamp="2026-11-27T22:13:20.270123+00:00"):
    return {"event_name": name, "timestamp": timestamp, "detail": detail}


def post(api, job, url, *events):
    return expect(api.post(f"/v1/job/{job}/events", event(url, events=list(events))), 202)


def events(api, job):
    body = expect(api.get(f"/v1/events/job/{job}"), 200).json()
    assert list(body) == ["job_id", "events"] and body["job_id"] == job
    assert all(list(e) == ["event_name", "timestamp", "detail"] for e in body["events"])
    return body["events"]


def names(api, job):
    return [e["event_name"] for e in events(api, job)]


def test_life_of_a_job(api, nobody):
    """Agents post the whole list each time."""
    queue = new_id()
    job = api.submit(queue)
    assert events(api, job) == []
    assert api.claimed(queue) == job
    posted = [one("job_start", "a1"), one("started_setup", "\u00e9\0x"), one("job_end", "normal_exit")]
    for n in range(1, 4):
        post(api, job, nobody, *posted[:n])
    api.set_state(job, "setup")
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 200)
    first, *middle, last = events(api, job)
    assert first["event_name"] == "job_claimed" and middle == posted
    assert last["event_name"] == "job_cancelled" and last["detail"] == ""
    assert abs(time.time() - time.mktime(time.strptime(first["timestamp"], "%Y-%m-%dT%H:%M:%SZ"))
               + time.timezone) < 60


@pytest.mark.stores("mongodb")
def test_workers_whose_clocks_differ(hooks, api, nobody):
    """The worker that stored an event was ahead of the one that claims: what came first is shown first."""
    queue = new_id()
    job = api.submit(queue)
    post(api, job, nobody, one("a"))
    jobs = storage_of(hooks).db.jobs
    jobs.update_one({"job_id": job}, {"$set": {"events.0.at": now() + datetime.timedelta(seconds=5)}})
    assert api.claimed(queue) == job
    post(api, job, nobody, one("b"))
    api.set_state(job, "complete")
    assert names(api, job) == ["a", "job_claimed", "b"]
    jobs.update_one({"job_id": job}, {"$unset": {"events.$[].after": 1}})  # as older releases store them
    assert names(api, job) == ["job_claimed", "a", "b"]


def test_posted_again(api, nobody):
    """The same events, and lists that leave some out, add nothing; an event without a detail has an empty one."""
    job = api.submit(new_id())
    a, b, c = one("a"), one("b"), one("c")
    del c["detail"]
    for some in ([a], [a, a], [a, b], [b], [a, b], [c, a]):
        post(api, job, nobody, *some)
    assert events(api, job) == [a, b, {**c, "detail": ""}]


def test_a_client_that_has_them(api, nobody):
    job = api.submit(new_id())
    path = f"/v1/events/job/{job}"
    same = {"If-None-Match": expect(api.get(path), 200).headers["ETag"]}
    assert expect(api.get(path, headers=same), 304).content == b""
    post(api, job, nobody, one("job_start"))
    later = expect(api.get(path, headers=same), 200)
    assert later.headers["ETag"] != same["If-None-Match"] and len(later.json()["events"]) == 1


def test_any_receiver(api):
    """What the receiver answers does not matter."""
    job = api.submit(new_id())
    with Receiver() as receiver:
        for status in (200, 404):
            expect(api.post(f"/v1/job/{job}/events", event(f"{receiver.url}/status/{status}",
                                                           events=[one(str(status))])), status)
    assert names(api, job) == ["200", "404"]


@pytest.mark.slow
def test_lost_agent(api, nobody):
    queue = new_id()
    job, again = api.submit(queue), api.submit(queue, rerun_on_orphan=1)
    assert {api.claimed(queue), api.claimed(queue)} == {job, again}
    api.set_state(job, "test")
    api.set_state(again, "test")
    # other reads renew the lease
    wait_until(lambda: names(api, job) == ["job_claimed", "job_lost"], "it is lost", 20)
    wait_until(lambda: names(api, again) == ["job_claimed", "job_orphaned"], "it waits again", 20)
    assert events(api, job)[-1]["detail"].startswith("orphaned: agent ")


def test_bounds(api, nobody):
    """The first events of a job are kept, whether they come in one post or one by one."""
    job, other = api.submit(new_id()), api.submit(new_id())
    many = [one(f"e{n}") for n in range(MAX + 50)]
    post(api, job, nobody, *many)
    post(api, job, nobody, *many, one("more"))
    assert events(api, job) == many[:MAX]
    big = [one(str(n), "x" * 20000) for n in range(20)]
    for n in range(20):
        post(api, other, nobody, big[n])
    got = events(api, other)
    assert got == big[:len(got)] and BYTES <= sum(len(e["detail"]) for e in got) + 20000 <= 2 * BYTES
    api.set_state(other, "complete")  # there is room for that
    post(api, other, nobody, one("huge", "x" * 1000000))
    assert events(api, other) == got


def test_unknown(api, nobody):
    job = new_id()
    expect(api.get(f"/v1/events/job/{job}"), 404, message("Job not found"))
    post(api, job, nobody, one("a"))
    expect(api.get(f"/v1/events/job/{job}"), 404, message("Job not found"))
    for bad in ("zz", "%00%F0%9F%98%80", "x" * 600):
        expect(api.get(f"/v1/events/job/{bad}"), 400, BAD_ID)


def test_other_reads_do_not_show_them(api, nobody):
    queue = new_id()
    job = api.submit(queue)
    post(api, job, nobody, one("a"))
    assert "events" not in api.get(f"/v1/job/{job}").json()
    assert "events" not in expect(api.claim(queue), 200).json()
    assert api.get(f"/v1/result/{job}").json() == {"job_state": "running"}
    expect(api.post(f"/v1/result/{job}", {"job_state": "complete"}), 200)
    expect(api.post("/v1/job", {"job_id": job, "job_queue": queue}), 200)  # a new attempt
    assert names(api, job) == ["a", "job_claimed"]


@pytest.mark.slow
def test_gone_with_the_job(private, nobody):
    """Once more of the same id begins without the old ones."""
    stack = private("--expire-jobs", 1, "--sweep-interval", 50, webhooks=1)
    api, queue = Api(stack.url), new_id()
    job = api.submit(queue)
    post(api, job, nobody, one("a"))
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 200)
    wait_until(lambda: api.get(f"/v1/events/job/{job}").status_code == 404, "it expires", 20)
    expect(api.post("/v1/job", {"job_id": job, "job_queue": queue}), 200)
    assert events(api, job) == []

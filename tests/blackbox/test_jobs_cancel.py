"""POST /v1/jobs/cancel: the jobs that a search finds."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import bson
import pytest
from bson import ObjectId

import auth
from client import Api, expect, expect_none, invalid, message
from receiver import Receiver

PATH = "/v1/jobs/cancel"


def answer(ids, dry_run, cancelled=None):
    cancelled = (0 if dry_run else len(ids)) if cancelled is None else cancelled
    return {"dry_run": dry_run, "found": len(ids), "cancelled": cancelled, "job_ids": ids}


def cancel(api, status=200, headers=None, **body):
    return expect(api.post(PATH, body, headers=headers), status)


def test_a_dry_run_is_the_default(api, queue):
    ids = [api.submit(queue, tags=[queue]) for _ in range(3)]
    for body in ({}, {"dry_run": True}):
        assert cancel(api, tags=[queue], **body).json() == answer(ids, True)
    assert [api.state(id_) for id_ in ids] == ["waiting"] * 3
    assert cancel(api, tags=[queue], dry_run=False).json() == answer(ids, False)
    assert [api.state(id_) for id_ in ids] == ["cancelled"] * 3
    assert cancel(api, tags=[queue], dry_run=False).json() == answer([], False)
    expect_none(api.claim(queue))


def test_filters(api, queue):
    a, b = f"{queue}-a", f"{queue}-b"
    both, one, over = api.submit(queue, tags=[a, b]), api.submit(queue, tags=[b]), api.submit(queue, tags=[a])
    api.submit(queue, tags=[f"{queue}-c"])
    api.set_state(over, "complete")
    api.set_state(one, "test")
    def found(**body):
        return cancel(api, **body).json()["job_ids"]
    assert found(tags=[a, b]) == [both, one]
    assert found(tags=[a, b], match="any", state=["active"]) == [both, one]
    assert found(tags=[a, b], match="all") == [both]
    assert found(tags=[a, b], state=["test", "reserve"]) == [one]
    assert found(tags=[a, b], state=["waiting"], limit=1) == [both]
    assert found(tags=[a, b], limit=1) == [both]
    assert one in found(state=["test"]) and both in found(state=["waiting"])
    assert cancel(api, tags=[a], dry_run=False).json() == answer([both], False)
    assert [api.state(id_) for id_ in (both, one, over)] == ["cancelled", "test", "complete"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_at_most_1000(private, queue):
    stack = private()
    api = Api(stack.url)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: Api(stack.url).submit(queue, tags=[queue]), range(1010)))
    first, second = (cancel(api, tags=[queue], dry_run=False).json() for _ in range(2))
    assert [(x["found"], x["cancelled"], len(x["job_ids"])) for x in (first, second)] == [(1000,) * 3, (10,) * 3]
    assert sorted(first["job_ids"] + second["job_ids"]) == sorted(ids)


def make_foreign(db, job_id):
    """Gives a job the document of another server, which has any _id, beside one of an earlier attempt."""
    job = db.jobs.find_one_and_delete({"job_id": job_id})
    old = {**job, "_id": ObjectId(), "created_at": job["created_at"] - timedelta(days=1),
           "result_data": {"job_state": "complete"}}
    db.jobs.insert_many([old, {**job, "_id": ObjectId()}])


@pytest.mark.stores("mongodb")
def test_trips_to_the_store(api, db, queue):
    """Their number does not grow with that of the jobs, whoever made them."""
    ids = [api.submit(queue, tags=[queue]) for _ in range(60)]
    for job_id in ids[:30]:
        make_foreign(db, job_id)
    db.command("profile", 2)
    try:
        assert cancel(api, tags=[queue], dry_run=False).json() == answer(ids, False)
    finally:
        db.command("profile", 0)
    assert db.system.profile.count_documents({"ns": f"{db.name}.jobs"}) < 15
    assert db.jobs.count_documents({"result_data.job_state": "cancelled", "tags": None,
                                    "job_data.tags": queue, "cancel.waited": True}) == 60


@pytest.mark.stores("mongodb")
def test_a_job_full_of_attempts_is_cancelled_with_others(api, db, queue):
    ids = [api.submit(queue, tags=[queue]) for _ in range(3)]
    size = 16 * 1024 * 1024 - 64 - len(bson.encode(db.jobs.find_one({"job_id": ids[1]})))
    db.jobs.update_one({"job_id": ids[1]}, {"$set": {"attempts": [{"result_data": {"x": "x" * size}}]}})
    assert cancel(api, tags=[queue], dry_run=False).json() == answer(ids, False)
    assert [api.state(id_) for id_ in ids] == ["cancelled"] * 3


def test_each_job_has_its_event(private, queue):
    api = Api(private("--webhook-server-events", "yes", webhooks=1).url)
    with Receiver() as receiver:
        ids = [api.submit(queue, tags=[queue], job_status_webhook=f"{receiver.url}/ok/{n}") for n in range(3)]
        assert cancel(api, tags=[queue], dry_run=False).json() == answer(ids, False)
        for n in range(3):
            (got,) = receiver.wait_for(1, f"ok/{n}")
            assert json.loads(got["body"])["events"][0]["event_name"] == "job_end"
        assert len(receiver.requests()) == 3


@pytest.mark.parametrize("body, errors", [
    ({"tags": "x"}, {"tags": ["Not a valid list."]}),
    ({"tags": ["x"], "limit": 0}, {"limit": ["Must be an integer from 1 to 1000."]}),
    ({"tags": ["x"], "limit": 1001}, {"limit": ["Must be an integer from 1 to 1000."]}),
    ({"tags": ["x"], "dry_run": "maybe"}, {"dry_run": ["Not a valid boolean."]}),
    ({"tags": ["x"], "queue": "x"}, {"queue": ["Unknown field."]}),
])
def test_bad_bodies(api, body, errors):
    expect(api.post(PATH, body), 422, invalid(errors))


@pytest.mark.parametrize("body", [{"tags": ["x"], "state": ["complete"]}, {"tags": ["x"], "match": "some"},
                                  {"state": ["\0"]}, {"state": ["\U0001f600"]}, {"state": [None]}, {"tags": ["x"] * 101}])
def test_other_bad_bodies(api, body):
    expect(api.post(PATH, body), 422)


@pytest.mark.parametrize("body", [{}, {"dry_run": False}, {"tags": []}, {"state": [], "tags": []}, {"limit": 5}])
def test_not_all_jobs_by_mistake(api, queue, body):
    job_id = api.submit(queue)
    expect(api.post(PATH, body), 422, message("Name tags or states of the jobs to cancel"))
    assert api.state(job_id) == "waiting"


def test_names_of_tags(api, queue):
    for name in ("caf\u00e9", "\U0001f600", "$x.y", "'\"--"):
        job_id = api.submit(queue, tags=[queue + name])
        assert cancel(api, tags=[queue + name], dry_run=False).json() == answer([job_id], False)


def submit_as(api, queue, headers):
    response = api.post("/v1/job", {"job_queue": queue, "tags": [queue]}, headers=headers)
    return expect(response, 200).json()["job_id"]


@pytest.mark.parametrize("options", [("--auth", "roles"), ("--owner-rules", "yes")])
def test_whose_jobs(private, queue, options):
    """Contributors cancel their own jobs, managers and admins all; without a token nobody has any."""
    api = Api(private(*options, env=auth.ENV).url)
    mine, yours = (auth.as_role("contributor", client_id=f"{queue}-{n}") for n in "my")
    first, second, third = submit_as(api, queue, mine), submit_as(api, queue, yours), submit_as(api, queue, None)
    for body in ({"tags": [queue]}, {"state": ["waiting"]}, {"tags": [queue], "match": "all", "state": ["waiting"]}):
        assert cancel(api, **body, headers=mine).json() == answer([first], True)
    assert cancel(api, tags=[queue], dry_run=False, headers=yours).json() == answer([second], False)
    expect(api.post(PATH, {"tags": [queue], "dry_run": False}), 401)
    for role in ("manager", "admin"):
        assert cancel(api, tags=[queue], headers=auth.as_role(role)).json() == answer([first, third], True)
    assert cancel(api, tags=[queue], dry_run=False, headers=auth.as_role("manager")).json() == answer(
        [first, third], False)
    entries = api.get("/v1/audit?action=jobs.cancel", headers=auth.as_role("admin")).json()
    assert [(entry["actor"], entry["detail"]["job_ids"]) for entry in entries] == [
        ("the-manager", [first, third]), (f"{queue}-y", [second])]

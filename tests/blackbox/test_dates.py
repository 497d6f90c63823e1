"""The form of dates in jobs and agents: extended JSON of MongoDB, or text where a client or a setting asks."""

import datetime

import pytest

import auth
from client import Api, date_of, expect
from storage import now, storage_of


def shown(api, queue, ask=""):
    """Every date of a job and of its agent, by place, with a query; the job is handed out by it."""
    ask = f"?{ask}" if ask else ""
    api.submit(queue, tags=[queue])
    api.agent(queue, state="waiting", queues=[queue])
    both = lambda query: f"?{query}" + ask.replace("?", "&")
    get = lambda path: expect(api.get(path), 200).json()
    (of_queue,), (found,) = get(f"/v1/queues/{queue}/jobs{ask}"), get(f"/v1/job/search{both('tags=' + queue)}")
    (listed,) = [a for a in get(f"/v1/agents/data{ask}") if a["name"] == queue]
    claimed = expect(api.get(f"/v1/job{both('queue=' + queue)}"), 200).json()
    return {"queue jobs": of_queue["created_at"], "search": found["created_at"], "agents": listed["updated_at"],
            "agent": get(f"/v1/agents/data/{queue}{ask}")["updated_at"], "claim": claimed["started_at"]}


def check(api, queue, ask, form):
    """All are of this form, and the time is now, by the store's clock."""
    for place, date in shown(api, queue, ask).items():
        assert abs(date_of(date, form) - now()) < datetime.timedelta(seconds=30), place


@pytest.mark.parametrize("ask, form", [("", "extended"), ("dates=extended", "extended"), ("dates=iso", "iso"),
                                       ("dates=iso&dates=extended", "iso")])
def test_by_default_and_by_query(api, queue, ask, form):
    check(api, queue, ask, form)


@pytest.mark.parametrize("asked", ["", "ISO", "x" * 300, "iso%00"])
def test_unknown_form(api, queue, asked):
    """422, and no job is handed out."""
    job_id = api.submit(queue, tags=[queue])
    api.agent(queue, state="waiting")
    for path in (f"/v1/queues/{queue}/jobs?", f"/v1/job/search?tags={queue}&", "/v1/agents/data?",
                 f"/v1/agents/data/{queue}?"):
        expect(api.get(f"{path}dates={asked}"), 422, {
            "detail": {"query": {"dates": ["Must be one of: extended, iso."]}}, "message": "Validation error"})
    expect(api.get(f"/v1/job?queue={queue}&dates={asked}"), 422, {})  # agents of old take any other object for a job
    assert api.claimed(queue) == job_id


def test_pages_keep_the_form(api, queue):
    for _ in range(2):
        api.submit(queue)
    page = api.get(f"/v1/queues/{queue}/jobs?dates=iso&limit=1")
    assert page.headers["Link"].endswith('&dates=iso&limit=1>; rel="next"')


def test_setting_iso(private, queue):
    api = Api(private("--dates", "iso").url)
    check(api, queue, "", "iso")
    check(api, queue + "2", "dates=extended", "extended")


def test_reference_knows_no_query(private, queue):
    api = Api(private("--compat", "reference").url)
    check(api, queue, "dates=iso", "extended")
    check(api, queue + "2", "dates=nonsense", "extended")


@pytest.mark.parametrize("mode", ["roles", "login"])
def test_access_control(private, queue, mode):
    api = Api(private("--auth", mode, env=auth.ENV).url)
    path = f"/v1/agents/data/{queue}"
    expect(api.post(path, {"state": "waiting"}, headers=auth.as_role("agent")), 200)
    agent = expect(api.get(path, headers=auth.as_role("admin")), 200).json()
    assert date_of(agent["updated_at"])


@pytest.mark.stores("mongodb")
def test_dates_of_others(private, queue):
    """What is no date is shown as it is; dates before 1970 and without milliseconds have the same form."""
    stack = private()  # other tests search all jobs, and an answer with "yesterday" is not as documented
    api, db = Api(stack.url), storage_of(stack).db
    api.documented = False
    db.jobs.insert_many([{"job_id": f"{queue}-{i}", "job_data": {"job_queue": queue}, "created_at": at,
                          "result_data": {"job_state": "complete"}} for i, at in enumerate([
                              datetime.datetime(1969, 12, 31, 23, 59, 59, 999000),
                              datetime.datetime(2025, 1, 2, 3, 4, 5), "yesterday"])])
    jobs = expect(api.get(f"/v1/queues/{queue}/jobs"), 200).json()
    assert {j["job_id"][-1]: j["created_at"] for j in jobs} == {
        "0": {"$date": "1969-12-31T23:59:59.999Z"}, "1": {"$date": "2025-01-02T03:04:05.000Z"}, "2": "yesterday"}

"""The actions extend and priority of a job."""

import datetime
import time

import pytest

import auth
from client import Api, expect, invalid, message, new_id


def act(api, job_id, status, body=None, headers=None, **fields):
    return expect(api.post(f"/v1/job/{job_id}/action", fields, headers=headers), status, body)


def until(api, job_id):
    text = api.get(f"/v1/result/{job_id}").json()["reserved_until"]
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def reserved(api, queue, headers=None, **reserve):
    body = {"job_queue": queue, "reserve_data": reserve}
    job_id = expect(api.post("/v1/job", body, headers=headers), 200).json()["job_id"]
    return job_id


def begin(api, queue, job_id, headers=None):
    cookie = api.post(f"/v1/agents/data/{queue}", {"queues": [queue]}, headers=headers).headers["Set-Cookie"]
    headers = {**(headers or {}), "Cookie": cookie.split(";")[0]}
    assert expect(api.get(f"/v1/job?queue={queue}", headers=headers), 200).json()["job_id"] == job_id
    expect(api.post(f"/v1/result/{job_id}", {"job_state": "reserve"}, headers=headers), 200)


@pytest.mark.parametrize("reserve, first", [({"timeout": 100}, 100), ({}, 3600)])
def test_a_reservation_lasts_longer(api, queue, reserve, first):
    job_id = reserved(api, queue, **reserve)
    act(api, job_id, 409, message("The job is not reserved"), action="extend", seconds=50)
    begin(api, queue, job_id)
    began = time.time()
    act(api, job_id, 200, "OK", action="extend", seconds=50)
    assert abs(until(api, job_id) - began - first - 50) < 5
    act(api, job_id, 200, "OK", action="EXTEND", seconds=60)
    assert abs(until(api, job_id) - began - first - 110) < 5
    assert api.get(f"/v1/job/{job_id}").json()["reserve_data"]["timeout"] == first + 110
    refused = act(api, job_id, 403, action="extend", seconds=21600 - first - 109)
    assert "21600 seconds" in refused.json()["message"]
    act(api, job_id, 200, "OK", action="extend", seconds=21600 - first - 110)
    api.set_state(job_id, "complete")
    act(api, job_id, 409, message("The job is not reserved"), action="extend", seconds=1)


def test_the_limit_is_that_of_the_submitter(private, queue):
    """Its permissions as they are now; whoever extends needs none."""
    api = Api(private("--auth", "roles", env=auth.ENV).url)
    admin, agent = auth.as_role("admin"), auth.as_role("agent")
    client = {"client_secret": "a long enough secret", "role": "contributor",
              "max_reservation_time": {queue: 40000}}
    expect(api.request("PUT", f"/v1/client-permissions/{queue}", json=client, headers=admin), 200)
    job_id = reserved(api, queue, headers=auth.as_role("contributor", client_id=queue), timeout=1000)
    begin(api, queue, job_id, agent)
    other = auth.as_role("contributor", client_id="somebody")
    act(api, job_id, 403, headers=other, action="extend", seconds=39001)
    act(api, job_id, 200, "OK", headers=other, action="extend", seconds=39000)


@pytest.mark.parametrize("seconds", [None, 0, -1, 31622401, 2**62])
def test_bad_seconds(api, queue, seconds):
    fields = {} if seconds is None else {"seconds": seconds}
    act(api, api.submit(queue), 422, invalid({"seconds": ["Must be an integer from 1 to 31622400."]}),
        action="extend", **fields)


def test_priority_of_a_waiting_job(private, queue):
    api = Api(private(env=auth.ENV).url)
    first, second = api.submit(queue), api.submit(queue)
    may = auth.bearer(auth.token({"client_id": "c", "role": "contributor", "max_priority": {queue: 5}}))
    act(api, second, 401, action="priority", priority=1)
    act(api, second, 403, headers=may, action="priority", priority=6)
    act(api, second, 422, headers=may, action="priority")
    act(api, second, 200, "OK", headers=may, action="priority", priority=5)
    assert expect(api.get(f"/v1/job/{second}/position"), 200).text == "0"
    assert api.get(f"/v1/job/{second}").json()["job_priority"] == 5
    assert [api.claimed(queue) for _ in range(2)] == [second, first]
    act(api, first, 409, message("The job does not wait"), headers=may, action="priority", priority=1)


@pytest.mark.parametrize("fields", [{"action": "extend", "seconds": 1}, {"action": "priority", "priority": 0}])
def test_unknown_jobs(api, fields):
    act(api, new_id(), 404, message("Job not found"), **fields)
    expect(api.post("/v1/job/x/action", fields), 400, "Invalid job id\n")

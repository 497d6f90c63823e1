"""Jobs after their submission: reading, position, cancelling, resubmission, attachments."""

import pytest

from client import (BAD_ID, BAD_ID_TEXT, MISSING, NOT_WAITING, NULL, OVER, UNKNOWN, expect,
                    expect_none, invalid, message, new_id)

FULL = {
    "parent_job_id": "p", "name": "n", "tags": ["a", "b"], "global_timeout": 1, "output_timeout": 2,
    "allocation_timeout": 3, "provision_data": {"distro": "noble"},
    "firmware_update_data": {"version": "latest"}, "test_data": {"test_cmds": "uname -a"},
    "allocate_data": {"allocate": False}, "reserve_data": {"ssh_keys": ["lp:me"], "timeout": 60},
    "job_status_webhook": "http://example.com/hook", "job_priority": 0, "debug": True,
}
CANCEL = {"action": "cancel"}


def cancel(api, job_id):
    return api.post(f"/v1/job/{job_id}/action", CANCEL)


def position(api, job_id):
    return int(expect(api.get(f"/v1/job/{job_id}/position"), 200).text)


# GET /v1/job/<id>

def test_get_shows_what_was_submitted(api, queue):
    job_id = api.submit(queue, **FULL)
    same = {"job_queue": queue, "job_id": job_id, **FULL}
    expect(api.get(f"/v1/job/{job_id}"), 200, same)
    api.claimed(queue)
    for state in ["test", "complete"]:
        api.set_state(job_id, state)
        expect(api.get(f"/v1/job/{job_id}"), 200, same)


def test_get_minimal(api, queue):
    job_id = api.submit(queue)
    expect(api.get(f"/v1/job/{job_id}"), 200, {"job_id": job_id, "job_queue": queue})


def test_get_hides_what_the_server_adds(api, queue):
    data = {"attachments": [{"agent": "a"}]}
    job_id = api.submit(queue, test_data=data)
    expect(api.get(f"/v1/job/{job_id}"), 200,
           {"job_id": job_id, "job_queue": queue, "test_data": data})


def test_get_shows_exclude_agents(api, queue):
    api.agent(f"{queue}-agent", queues=[queue])
    job_id = api.submit(queue, exclude_agents=["other"])
    assert api.get(f"/v1/job/{job_id}").json()["exclude_agents"] == ["other"]


@pytest.mark.parametrize("path", ["/v1/job/{}", "/v1/job/{}/position"])
def test_bad_id(api, path):
    for job_id in ["zz", "1", new_id() + "0", "0x" + "1" * 30]:
        expect(api.get(path.format(job_id)), 400, BAD_ID)


def test_get_unknown(api, queue):
    response = expect_none(api.get(f"/v1/job/{new_id()}"))
    assert response.headers["Content-Type"] == "application/json"
    job_id = api.submit(queue)
    expect_none(api.get(f"/v1/job/{job_id.upper()}"))
    expect_none(api.get(f"/v1/job/{job_id.replace('-', '')}"))


@pytest.mark.slow
def test_a_large_job(api, queue):
    """Up to what a document of MongoDB holds."""
    fields = {"allocate_data": {"text": "x" * (15 * 2**20)}}
    job_id = api.submit(queue, **fields)
    assert api.get(f"/v1/job/{job_id}").json() == {"job_id": job_id, "job_queue": queue, **fields}
    assert expect(api.claim(queue), 200).json()["allocate_data"] == fields["allocate_data"]


# GET /v1/job/<id>/position

def test_position(api, queue):
    ids = [api.submit(queue) for _ in range(4)]
    api.submit(queue + "-other")
    assert [position(api, j) for j in ids] == [0, 1, 2, 3]
    expect(api.get(f"/v1/job/{ids[2]}/position"), 200, "2")
    assert api.claimed(queue) == ids[0]
    expect(cancel(api, ids[1]), 200, "OK")
    assert [position(api, j) for j in ids[2:]] == [0, 1]
    for gone in ids[:2] + [new_id()]:
        expect(api.get(f"/v1/job/{gone}/position"), 410, NOT_WAITING)


def test_position_counts_those_who_await_attachments(api, queue):
    first = api.submit(queue, test_data={"attachments": []})
    second = api.submit(queue)
    assert [position(api, j) for j in (first, second)] == [0, 1]


def test_position_follows_the_priority(api, storage, queue):
    ids = [api.submit(queue) for _ in range(3)]
    storage.set_priority(ids[2], 7)
    assert [position(api, j) for j in ids] == [1, 2, 0]


# POST /v1/job/<id>/action

@pytest.mark.parametrize("body, errors", [
    ({}, {"action": [MISSING]}),
    ({"action": 5}, {"action": ["Not a valid string."]}),
    ({"action": None}, {"action": [NULL]}),
    ({"action": "cancel", "x": 1}, {"x": [UNKNOWN]}),
    ({"x": 1}, {"action": [MISSING], "x": [UNKNOWN]}),
])
def test_action_validation(api, strict, body, errors):
    for job_id in [new_id(), "zz"]:
        expect(api.post(f"/v1/job/{job_id}/action", body), 422, invalid(errors))
        expect(strict.post(f"/v1/job/{job_id}/action", body), 422, invalid(errors))


@pytest.mark.parametrize("action", ["stop", "", "cancel\0"])
def test_other_actions(api, strict, action):
    """The existing server knows only one."""
    for one, names in ((api, "cancel, extend, priority"), (strict, "cancel")):
        response = one.post(f"/v1/job/{new_id()}/action", {"action": action})
        expect(response, 422, invalid({"action": [f"Must be one of: {names}."]}))
    for action in ("extend", "priority"):
        response = strict.post(f"/v1/job/{new_id()}/action", {"action": action})
        expect(response, 422, invalid({"action": ["Must be one of: cancel."]}))


def test_action_bad_id(api):
    expect(cancel(api, "zz"), 400, BAD_ID_TEXT)


@pytest.mark.parametrize("word", ["cancel", "Cancel", "CANCEL"])
def test_action_in_any_case(api, strict, queue, word):
    for one in (api, strict):
        path = f"/v1/job/{one.submit(queue)}/action"
        expect(one.post(path, {"action": word}), 200, "OK")
        expect(one.post(path, {"action": word}), 400, OVER)


def test_action_unknown_job(api):
    expect(cancel(api, new_id()), 404, message("Job not found"))


@pytest.mark.parametrize("state", [None, "running", "setup", "test", "allocated", "whatever"])
def test_cancel_an_active_job(api, queue, state):
    job_id = api.submit(queue)
    if state:
        api.claimed(queue)
    if state not in (None, "running"):
        api.set_state(job_id, state)
    expect(cancel(api, job_id), 200, "OK")
    assert api.state(job_id) == "cancelled"
    expect(cancel(api, job_id), 400, OVER)
    expect_none(api.claim(queue))
    expect(api.get(f"/v1/job/{job_id}/position"), 410, NOT_WAITING)


@pytest.mark.parametrize("state", ["complete", "completed"])
def test_cancel_a_finished_job(api, queue, state):
    job_id = api.submit(queue)
    api.claimed(queue)
    api.set_state(job_id, state)
    expect(cancel(api, job_id), 400, OVER)
    assert api.state(job_id) == state


# Resubmission

@pytest.mark.parametrize("end", [None, "test", "complete", "completed", "cancelled"])
def test_resubmission_of_a_started_job(api, queue, end):
    """A new attempt of the same job, which begins with an empty result."""
    job_id = api.submit(queue, job_id=new_id(), name="first")
    api.claimed(queue)
    expect(api.post(f"/v1/result/{job_id}", {"setup_status": 3, "device_info": {"a": 1}}), 200)
    if end == "cancelled":
        expect(cancel(api, job_id), 200)
    elif end:
        api.set_state(job_id, end)
    between = api.submit(queue)
    assert api.submit(queue, job_id=job_id, name="second") == job_id
    expect(api.get(f"/v1/result/{job_id}"), 200, {"job_state": "waiting"})
    assert api.get(f"/v1/job/{job_id}").json()["name"] == "second"
    assert position(api, job_id) == 1
    assert [api.claimed(queue), api.claimed(queue)] == [between, job_id]
    expect_none(api.claim(queue))
    expect(cancel(api, job_id), 200, "OK")


def test_resubmission_of_a_waiting_job(api, queue):
    """The same content once more changes nothing, not even its place in the queue."""
    fields = {"job_id": new_id(), "test_data": {"test_cmds": "x"}, "global_timeout": "5"}
    job_id = api.submit(queue, **fields)
    other = api.submit(queue)
    for _ in range(3):
        assert api.submit(queue, **fields) == job_id
    assert [position(api, job_id), position(api, other)] == [0, 1]
    assert [api.claimed(queue), api.claimed(queue)] == [job_id, other]
    expect_none(api.claim(queue))


def test_resubmission_with_other_content_makes_no_second_job(api, queue):
    job_id = api.submit(queue, job_id=new_id(), name="first")
    assert api.submit(queue, job_id=job_id, name="second") == job_id
    assert api.claim(queue).json()["name"] == "second"
    expect_none(api.claim(queue))


def test_resubmission_into_another_queue(api, queue):
    job_id = api.submit(queue, job_id=new_id())
    api.claimed(queue)
    api.submit(queue + "-other", job_id=job_id)
    expect_none(api.claim(queue))
    assert api.claimed(queue + "-other") == job_id


def test_resubmission_awaits_its_attachments_again(api, storage, queue):
    fields = {"job_id": new_id(), "test_data": {"attachments": [{"agent": "a"}]}}
    job_id = api.submit(queue, **fields)
    storage.attachments_arrived(job_id)
    api.claimed(queue)
    api.set_state(job_id, "complete")
    api.submit(queue, **fields)
    expect_none(api.claim(queue))


# Attachments

@pytest.mark.parametrize("fields, awaits", [
    ({"test_data": {"attachments": [{"agent": "a"}]}}, True),
    ({"test_data": {"attachments": []}}, True),
    ({"provision_data": {"attachments": []}}, True),
    ({"firmware_update_data": {"attachments": None}}, True),
    ({"allocate_data": {"attachments": 5}}, True),
    ({"other_data": {"attachments": []}}, True),
    ({"other_data": ["attachments"]}, False),
    ({"other": {"attachments": []}}, False),
    ({"allocate_data": {"x": {"attachments": []}}}, False),
    ({"allocate_data": {"attachments_status": "waiting"}}, False),
    ({"provision_data": None, "test_data": {}}, False),
], ids=str)
def test_which_jobs_await_attachments(api, queue, fields, awaits):
    job_id = api.submit(queue, **fields)
    assert api.state(job_id) == "waiting"
    if awaits:
        expect_none(api.claim(queue))
        assert position(api, job_id) == 0
        expect(cancel(api, job_id), 200, "OK")
    else:
        assert "attachments_status" not in expect(api.claim(queue), 200).json()


def test_a_job_with_its_attachments_is_handed_out(api, storage, queue):
    job_id = api.submit(queue, test_data={"attachments": [{"agent": "a"}]})
    later = api.submit(queue)
    assert api.claimed(queue) == later
    storage.attachments_arrived(job_id)
    job = expect(api.claim(queue), 200).json()
    assert (job["job_id"], job["attachments_status"]) == (job_id, "complete")

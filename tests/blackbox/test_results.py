"""POST and GET /v1/result/<id>: fields of both eras, states, sizes."""

import pytest

from client import BAD_ID, NULL, PHASES, UNKNOWN, expect, expect_none, invalid, new_id

STRING, INTEGER, MAPPING = "Not a valid string.", "Not a valid integer.", "Not a valid mapping type."
PHASE = f"Must be one of: {', '.join(PHASES)}."


@pytest.fixture
def job(api, queue):
    """The id of a job that an agent has taken."""
    api.submit(queue)
    return api.claimed(queue)


def post(api, job_id, body):
    return api.post(f"/v1/result/{job_id}", body)


def result(api, job_id):
    return expect(api.get(f"/v1/result/{job_id}"), 200).json()


def test_of_a_new_job(api, queue):
    expect(api.get(f"/v1/result/{api.submit(queue)}"), 200, {"job_state": "waiting"})


def test_unknown_job(api):
    job_id = new_id()
    expect_none(api.get(f"/v1/result/{job_id}"))
    expect(post(api, job_id, {"job_state": "setup", "x": 1}), 200, "OK")
    expect_none(api.get(f"/v1/result/{job_id}"))


def test_bad_id(api):
    expect(api.get("/v1/result/zz"), 400, BAD_ID)
    expect(post(api, "zz", {}), 400, BAD_ID)
    expect(post(api, "zz", {"job_state": 5}), 422, invalid({"job_state": [STRING]}))


def status(api, job_id):
    return expect(api.get(f"/v1/result/{job_id}/status"), 200).json()


def test_status(api, queue):
    """What the newest agents poll in place of the result."""
    job_id = api.submit(queue)
    assert status(api, job_id) == {"job_state": "waiting"}
    assert api.claimed(queue) == job_id
    post(api, job_id, {"status": {"setup": 0, "provision": 3}, "device_info": {"x": 1}, "z": 2})
    post(api, job_id, {"test_status": 7, "test_output": "text", "test_serial": "text"})
    post(api, job_id, {"job_state": "test"})
    assert status(api, job_id) == {"setup_status": 0, "provision_status": 3, "test_status": 7, "job_state": "test"}
    expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200)
    assert status(api, job_id)["job_state"] == "cancelled"


def test_status_of_no_job(api):
    expect_none(api.get(f"/v1/result/{new_id()}/status"))
    expect(api.get("/v1/result/zz/status"), 400, BAD_ID)
    expect(api.get("/v1/result/%00%F0%9F%98%80/status"), 400, BAD_ID)


def test_of_the_newer_agents(api, job):
    expect(post(api, job, {"job_state": "setup"}), 200, "OK")
    expect(post(api, job, {"status": {"setup": 0}}), 200, "OK")
    expect(post(api, job, {"device_info": {"device_ip": "10.0.0.7", "x": [1]}}), 200, "OK")
    expect(post(api, job, {"status": {"setup": 0, "test": "7"}, "job_state": "complete"}), 200, "OK")
    assert result(api, job) == {"setup_status": 0, "test_status": 7, "job_state": "complete",
                                "device_info": {"device_ip": "10.0.0.7", "x": [1]}}


def test_of_the_older_agents(api, job):
    fields = {}
    for i, phase in enumerate(PHASES):
        fields |= {f"{phase}_status": i, f"{phase}_output": f"out {i}\n", f"{phase}_serial": f"\u0000{i}"}
    fields |= {"device_info": {}, "job_state": "complete"}
    expect(post(api, job, fields), 200, "OK")
    assert result(api, job) == fields


def test_fields_are_set_one_by_one(api, job):
    for body in [{"setup_status": 1, "setup_output": "a"}, {"setup_status": 2}, {},
                 {"device_info": {"a": 1}}, {"device_info": {"b": 2}},
                 {"status": {"test": 1}}, {"status": {"reserve": 2}}]:
        expect(post(api, job, body), 200, "OK")
    assert result(api, job) == {"setup_status": 2, "setup_output": "a", "device_info": {"b": 2},
                                "reserve_status": 2, "job_state": "running"}


def test_newer_status_wins_over_the_older(api, job):
    expect(post(api, job, {"status": {"setup": 1}, "setup_status": 2, "test_status": 3}), 200)
    assert result(api, job) == {"setup_status": 1, "test_status": 3, "job_state": "running"}


@pytest.mark.alike
@pytest.mark.parametrize("body, errors", [
    ({"job_state": 5}, {"job_state": [STRING]}),
    ({"job_state": None}, {"job_state": [NULL]}),
    ({"device_info": []}, {"device_info": [MAPPING]}),
    ({"device_info": None}, {"device_info": [NULL]}),
    ({"status": 5}, {"status": [MAPPING]}),
    ({"status": None}, {"status": [NULL]}),
    ({"status": {"zz": 0}}, {"status": {"zz": {"key": [PHASE]}}}),
    ({"status": {"Setup": 0, "test": "x"}},
     {"status": {"Setup": {"key": [PHASE]}, "test": {"value": [INTEGER]}}}),
    ({"status": {"setup": None, "zz": "x"}},
     {"status": {"setup": {"value": [NULL]}, "zz": {"key": [PHASE], "value": [INTEGER]}}}),
    *[({f"{p}_status": "x", f"{p}_output": 5, f"{p}_serial": None},
       {f"{p}_status": [INTEGER], f"{p}_output": [STRING], f"{p}_serial": [NULL]}) for p in PHASES],
    ({"setup_status": True, "job_state": []}, {"setup_status": [INTEGER], "job_state": [STRING]}),
], ids=str)
def test_faults(api, job, body, errors):
    before = result(api, job)
    expect(post(api, job, {"exit_code": 1, **body}), 422, invalid(errors))
    assert result(api, job) == before


def test_coercion(api, job):
    expect(post(api, job, {"setup_status": "3", "test_status": 4.9, "status": {"reserve": " 5 "}}), 200)
    assert result(api, job) == {"setup_status": 3, "test_status": 4, "reserve_status": 5,
                                "job_state": "running"}


def test_unknown_fields_are_kept(api, job):
    """The API document's own example."""
    body = {"exit_code": 0, "output": "foo", "x": {"a.b": [None, 1.5], "$c": ""}}
    expect(post(api, job, body), 200, "OK")
    assert result(api, job) == {**body, "job_state": "running"}
    expect(post(api, job, {"output": "bar"}), 200)
    assert result(api, job) == {**body, "output": "bar", "job_state": "running"}


def test_unknown_fields_of_any_name_are_kept(api, job):
    body = {"a.b": 1, "$d": 2, "job_state.x": 3, "": 4}
    expect(post(api, job, body), 200, "OK")
    assert result(api, job) == {**body, "job_state": "running"}


def test_agent_id(api, strict, queue):
    """The newest agents name themselves; nobody reads it."""
    for one in (api, strict):
        job_id = one.submit(queue)
        expect(post(one, job_id, {"agent_id": "a1", "setup_status": 1}), 200, "OK")
        assert result(one, job_id) == {"setup_status": 1, "job_state": "waiting"}
        expect(one.get(f"/v1/result/{job_id}", params={"fields": "agent_id"}), 200, {})
        expect(post(one, job_id, {"agent_id": 1}), 422, invalid({"agent_id": [STRING]}))


def test_reference_refuses_unknown_fields(strict, queue):
    job_id = strict.submit(queue)
    expect(post(strict, job_id, {"exit_code": 0, "output": "foo"}), 422,
           invalid({"exit_code": [UNKNOWN], "output": [UNKNOWN]}))
    expect(post(strict, job_id, {"setup_status": 1, "status": {"test": 0}}), 200, "OK")
    assert result(strict, job_id) == {"setup_status": 1, "test_status": 0, "job_state": "waiting"}


# States

def follow(api, job_id, states):
    for state in states:
        expect(post(api, job_id, {"job_state": state}), 200, "OK")
    return api.state(job_id)


@pytest.mark.parametrize("end", ["complete", "completed"])
def test_the_way_of_a_job(api, job, end):
    for state in ["setup", "provision", "firmware_update", "test", "allocate", "allocated", "reserve", end]:
        assert follow(api, job, [state]) == state


@pytest.mark.parametrize("states, last", [
    (["test", "test"], "test"),
    (["complete", "setup"], "complete"),
    (["completed", "test", "reserve"], "completed"),
    (["complete", "running"], "complete"),
    (["complete", "waiting"], "complete"),
    (["complete", "whatever"], "complete"),
    (["whatever"], "whatever"),
    (["whatever", "test", "complete"], "complete"),
    (["", "complete"], "complete"),
    (["Complete"], "Complete"),
    (["setup", "waiting"], "setup"),
    (["setup", "running"], "setup"),
])
def test_states_do_not_go_back(api, job, states, last):
    assert follow(api, job, states) == last


@pytest.mark.parametrize("end", ["complete", "completed"])
def test_a_cancelled_job(api, job, end):
    """It stays cancelled for phases, and ends as the agent's last post says."""
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 200)
    for state in ["setup", "test", "reserve", "running", "waiting", "whatever"]:
        assert follow(api, job, [state]) == "cancelled"
    expect(post(api, job, {"job_state": "cleanup", "cleanup_status": 4}), 200, "OK")
    assert result(api, job) == {"job_state": "cancelled", "cleanup_status": 4}
    assert follow(api, job, [end]) == end


def test_results_after_the_end_are_kept(api, job):
    follow(api, job, ["complete"])
    expect(post(api, job, {"device_info": {"late": 1}, "job_state": "test"}), 200, "OK")
    assert result(api, job) == {"device_info": {"late": 1}, "job_state": "complete"}


def test_a_waiting_job_is_not_put_to_waiting_by_its_agent(api, queue):
    job_id = api.submit(queue)
    api.claimed(queue)
    follow(api, job_id, ["waiting"])
    expect_none(api.claim(queue))


# Sizes

@pytest.mark.slow
def test_a_large_result(api, job):
    text = "0123456789abcdef" * (14 * 65536)
    expect(post(api, job, {"test_output": text, "job_state": "complete"}), 200, "OK")
    assert result(api, job) == {"test_output": text, "job_state": "complete"}


@pytest.mark.slow
def test_a_result_that_grows_too_large(api, job):
    """A document of more than 16 MiB is refused; what was there before stays."""
    text = "x" * (10 * 2**20)
    expect(post(api, job, {"setup_output": text}), 200, "OK")
    expect(post(api, job, {"test_output": text}), 413)
    expect(post(api, job, {"test_status": 1}), 200, "OK")
    assert result(api, job) == {"setup_output": text, "test_status": 1, "job_state": "running"}


@pytest.mark.slow
@pytest.mark.stores("mongodb")  # the embedded store counts a result as JSON: it refuses the second post
@pytest.mark.parametrize("fragments", [False, True])
def test_a_result_that_is_larger_than_an_answer(api, job, fragments):
    """Each post fits as it is stored; as JSON, with escapes, not all do. What is left out can be had alone."""
    escapes, plain = "\u0001" * 2_500_000, "y" * 12_000_000
    expect(post(api, job, {"device_info": {"a": escapes}, "status": {"setup": 3}}), 200, "OK")
    expect(post(api, job, {"more": plain, "job_state": "test"}), 200, "OK")
    expected = {"setup_status": 3, "device_info": {"a": escapes}, "job_state": "test"}
    if fragments:
        log = {"fragment_number": 0, "timestamp": "2026-01-01T00:00:00+00:00", "phase": "test", "log_data": "hello"}
        expect(api.post(f"/v1/result/{job}/log/output", log), 200)
        expected["test_output"] = "hello"
    shown = result(api, job)
    left_out = shown.pop("truncated")
    assert shown == expected
    assert len(plain) < left_out.pop("more") < len(plain) + 100 and not left_out
    assert expect(api.get(f"/v1/result/{job}", params={"fields": "more"}), 200).json() == {"more": plain}

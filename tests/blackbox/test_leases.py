"""Leases: a running job that its agent does not speak of any more ends visibly, or runs again where
that is wanted; one that is spoken of does not."""

import json
import signal
import time

import pytest
import requests

from client import Api, DATE, expect, expect_none, invalid
from receiver import Receiver
from stack import Port, Stack, wait_until
from storage import storage_of

pytestmark = pytest.mark.waits

# A lease of two seconds runs out after that at the soonest; a server that has just started waits
# for as long before it takes a job for lost.
OPTIONS = ("--sweep-interval", 50, "--job-lease", 2)


@pytest.fixture(scope="module")
def leased(store_uri):
    with Stack(store_uri(), *OPTIONS) as stack:
        yield stack


@pytest.fixture
def api(leased):
    return Api(leased.url)


def cookie(agent):
    return {"Cookie": f"agent_name={agent}"}


def lost(api, job_id, seconds=12):
    """The result of a job whose agent is gone, once it has ended."""
    wait_until(lambda: api.state(job_id) == "cancelled", "it is cancelled", seconds)
    return api.get(f"/v1/result/{job_id}").json()


@pytest.mark.slow
def test_agent_is_gone(api, queue):
    """In any state but those with times of their own; the reason tells agent and state. What the
    agent had posted stays, and what it posts later is taken."""
    ids = {state: api.submit(queue) for state in ("running", "setup", "test", "unheard-of")}
    for state, job_id in ids.items():
        assert api.claimed(queue, cookie="agent_name=a1") == job_id
        if state != "running":
            expect(api.post(f"/v1/result/{job_id}",
                            {"job_state": state, "status": {"setup": 3}}), 200)
    for state, job_id in ids.items():
        result = lost(api, job_id)
        assert result["end_reason"] == f"orphaned: agent a1 was not heard of in state {state}"
        assert result.get("setup_status") == (None if state == "running" else 3)
    expect_none(api.claim(queue))
    late = ids["test"]
    api.set_state(late, "reserve")
    assert api.state(late) == "cancelled"
    expect(api.post(f"/v1/result/{late}", {"status": {"test": 0}, "job_state": "complete"}), 200)
    assert api.get(f"/v1/result/{late}").json() == {"test_status": 0, "job_state": "complete"}


@pytest.mark.slow
def test_name_of_a_lost_agent(api, queue):
    """Whatever it is, the reason can be read: a long one is cut between characters, and what is no
    text is no name. Who looks at a job whose agent has no name renews its lease, so that job comes
    first and is only looked at once the other one, whose lease is younger, has ended."""
    names = {b"\xff\xfe": "(unknown)", ("a" + "\U0001f600" * 30).encode(): "a" + "\U0001f600" * 19}
    ids = {}
    for name in names:
        ids[name] = api.submit(queue)
        quoted = "".join(f"\\{byte:03o}" for byte in name)
        assert api.claimed(queue, cookie=f'agent_name="{quoted}"') == ids[name]
    for name, job_id in reversed(ids.items()):
        reason = f"orphaned: agent {names[name]} was not heard of in state running"
        assert lost(api, job_id) == {"job_state": "cancelled", "end_reason": reason}


CALLS = {
    "result": lambda api, j: api.get(f"/v1/result/{j}", headers=cookie("a1")),
    "status": lambda api, j: api.get(f"/v1/result/{j}/status", headers=cookie("a1")),
    "state": lambda api, j: api.post(f"/v1/result/{j}", {"job_state": "test"}),
    "fields": lambda api, j: api.post(f"/v1/result/{j}", {"device_info": {"a": 1}}),
    "output": lambda api, j: api.post_body(f"/v1/result/{j}/output", b"x", "text/plain"),
    "serial": lambda api, j: api.post_body(f"/v1/result/{j}/serial_output", b"x", "text/plain"),
    "log": lambda api, j: api.post(f"/v1/result/{j}/log/serial", {
        "fragment_number": 0, "timestamp": "2025-01-02T03:04:05+00:00", "phase": "test",
        "log_data": "text"}),
    "artifact": lambda api, j: api.post(f"/v1/result/{j}/artifact", files={"file": ("a", b"x")}),
    "attachments": lambda api, j: api.get(f"/v1/job/{j}/attachments", headers=cookie("a1")),
}


@pytest.mark.slow
def test_every_call_of_the_agent_renews(private, queue):
    """Each kind of call alone keeps a job; those of watchers and other agents do not."""
    api = Api(private("--sweep-interval", 50, "--job-lease", 12).url)
    kept = {name: api.submit(queue) for name in CALLS}
    watched, nobodys = api.submit(queue), api.submit(queue)
    for job_id in [*kept.values(), watched]:
        assert api.claimed(queue, cookie="agent_name=a1") == job_id
        api.set_state(job_id, "test")
    assert api.claimed(queue) == nobodys

    def is_watched_in_vain():
        for name, call in CALLS.items():
            assert call(api, kept[name]).status_code < 300
        api.get(f"/v1/result/{nobodys}/status")
        time.sleep(0.5)
        api.get(f"/v1/result/{watched}", headers=cookie("a2"))
        return api.state(watched) == "cancelled"

    wait_until(is_watched_in_vain, "the job without its agent ends", 60)
    assert {name: api.state(job_id) for name, job_id in kept.items()} == dict.fromkeys(kept, "test")
    assert api.state(nobodys) == "running"  # its agent is unknown: any caller may be it


@pytest.mark.slow
def test_times_of_the_job(api, queue):
    """In provision and reserve the job's own times come on top."""
    data = {"global_timeout": 60, "reserve_data": {"timeout": 60}}
    ids = [api.submit(queue, **data) for _ in range(2)]
    short = [api.submit(queue, global_timeout=1, reserve_data={"timeout": 1}) for _ in range(2)]
    for job_id in ids + short:
        assert api.claimed(queue, cookie="agent_name=a1") == job_id
    for pair in (ids, short):
        for job_id, state in zip(pair, ("provision", "reserve")):
            api.set_state(job_id, state)
    start = time.monotonic()
    for job_id in short:
        lost(api, job_id)
    assert time.monotonic() - start > 2.5
    assert [api.state(job_id) for job_id in ids] == ["provision", "reserve"]
    api.set_state(ids[0], "test")  # and no longer afterwards
    lost(api, ids[0])
    assert api.state(ids[1]) == "reserve"


@pytest.mark.slow
def test_runs_again(private, queue):
    """As often as the job or its queue allows; the others are cancelled."""
    api = Api(private(*OPTIONS, "--rerun-queues", f"{queue}-named=1,{queue}-once").url)
    jobs = {api.submit(queue, rerun_on_orphan=1): (queue, 1),
            api.submit(queue): (queue, 0),
            api.submit(f"{queue}-named"): (f"{queue}-named", 1),
            api.submit(f"{queue}-once"): (f"{queue}-once", 1)}
    runs = dict.fromkeys(jobs, 0)

    def is_over():
        for name in {name for name, _ in jobs.values()}:
            response = api.claim(name, cookie="agent_name=a1")
            if response.status_code == 200:
                job_id = response.json()["job_id"]
                runs[job_id] += 1
                expect(api.post(f"/v1/result/{job_id}", {"status": {"setup": runs[job_id]}}), 200)
        return all(api.state(job_id) == "cancelled" for job_id in jobs)

    wait_until(is_over, "all have ended", 30)
    assert runs == {job_id: 1 + times for job_id, (_, times) in jobs.items()}
    for job_id, (_, times) in jobs.items():
        result = api.get(f"/v1/result/{job_id}").json()
        assert result["setup_status"] == 1 + times and "orphaned" in result["end_reason"]


@pytest.mark.slow
def test_webhook_and_metrics(private, queue):
    """The receiver of the job's events hears of both; so do the counters."""
    port = Port(4)
    with Receiver() as receiver:
        server = private(*OPTIONS, "--metrics-port", port.number, "--webhook-server-events", "yes", webhooks=1)
        api = Api(server.url)
        job_id = api.submit(queue, rerun_on_orphan=1, job_status_webhook=f"{receiver.url}/hook")
        for _ in range(2):
            assert api.claimed(queue, cookie="agent_name=a1") == job_id
            wait_until(lambda: api.state(job_id) != "running", "its lease runs out")
        assert api.state(job_id) == "cancelled"
        bodies = [json.loads(r["body"]) for r in receiver.wait_for(2)]
        reason = "orphaned: agent a1 was not heard of in state running"
        for body, name in zip(bodies, ("job_orphaned", "job_end")):
            event, = body.pop("events")
            assert DATE.fullmatch(event.pop("timestamp"))
            assert event == {"event_name": name, "detail": reason}
            assert body == {"agent_id": "a1", "job_queue": queue}
        text = requests.get(f"http://127.0.0.1:{port.number + 2}/metrics", timeout=10).text
        for line in ("testflinger_leases_expired_total 2", "testflinger_claims_confirmed_total 2",
                     "testflinger_leases_expired_rerun_total 1"):
            assert f"\n{line}\n" in text
    port.release()


@pytest.mark.slow
def test_agent_that_comes_back_first(api, queue):
    """The job waits to be run again when its agent speaks: it goes on."""
    job_id = api.submit(queue, rerun_on_orphan=5)
    assert api.claimed(queue, cookie="agent_name=a1") == job_id
    api.set_state(job_id, "test")
    wait_until(lambda: api.state(job_id) == "waiting", "it waits again")
    api.set_state(job_id, "reserve")
    expect_none(api.claim(queue, cookie="agent_name=a2"))
    api.set_state(job_id, "complete")
    assert api.state(job_id) == "complete"


@pytest.mark.slow
def test_agent_that_comes_back_too_late(private, queue):
    """Another agent has the job: the first one's posts belong to its own, earlier attempt."""
    server = private("--sweep-interval", 50, "--job-lease", 3)
    api = Api(server.url)
    job_id = api.submit(queue, rerun_on_orphan=1)
    assert api.claimed(queue, cookie="agent_name=a1") == job_id
    wait_until(lambda: api.state(job_id) == "waiting", "it waits again")
    assert api.claimed(queue, cookie="agent_name=a2") == job_id
    for body in ({"status": {"setup": 1}}, {"job_state": "test"}, {"x.y": 1},
                 {"job_state": "complete", "status": {"setup": 2}}):
        expect(api.post(f"/v1/result/{job_id}", body, headers=cookie("a1")), 200, "OK")
        state = api.get(f"/v1/result/{job_id}", headers=cookie("a2"))  # which renews the second one's lease
        assert state.json() == {"job_state": "running"}
    own = {"job_state": "complete", "status": {"test": 0}}
    expect(api.post(f"/v1/result/{job_id}", own, headers=cookie("a2")), 200, "OK")
    assert api.get(f"/v1/result/{job_id}").json() == {"test_status": 0, "job_state": "complete"}
    attempt, = storage_of(server).attempts(job_id)
    assert attempt["job_state"] == "complete" and attempt["status"] == {"setup": 2}
    assert "orphaned" in attempt["end_reason"]


@pytest.mark.slow
def test_each_late_agent_has_its_own_attempt(private, queue):
    """Two have lost the job one after the other: what the first posts is not taken for the second's."""
    server = private("--sweep-interval", 50, "--job-lease", 2)
    api = Api(server.url)
    job_id = api.submit(queue, rerun_on_orphan=2)
    for agent in ("a1", "a2", "a3"):
        wait_until(lambda: api.state(job_id) == "waiting", "it waits (again)")
        assert api.claimed(queue, cookie=f"agent_name={agent}") == job_id
    for agent in ("a2", "a1", "a0"):
        late = {"device_info": {"agent": agent}}
        expect(api.post(f"/v1/result/{job_id}", late, headers=cookie(agent)), 200, "OK")
    found = [attempt.get("device_info") for attempt in storage_of(server).attempts(job_id)]
    assert found == [{"agent": "a1"}, {"agent": "a2"}]


@pytest.mark.slow
def test_server_that_was_stopped(private, queue):
    """No agent could renew a lease meanwhile, as after a suspend."""
    server = private("--sweep-interval", 50, "--job-lease", 5)
    api = Api(server.url)
    job_id = api.submit(queue)
    assert api.claimed(queue, cookie="agent_name=a1") == job_id
    for _ in range(6):  # the server's own time to begin with is over then
        time.sleep(0.9)
        assert expect(api.get(f"/v1/result/{job_id}", headers=cookie("a1")), 200).json() == {
            "job_state": "running"}
    pids = list(server.tree())
    server.signal(signal.SIGSTOP, pids)
    time.sleep(6)
    server.signal(signal.SIGCONT, pids)
    time.sleep(1)
    wait_until(lambda: api.get("/readyz").status_code == 200, "it serves")
    assert api.state(job_id) == "running"
    lost(api, job_id)


@pytest.mark.slow
def test_over_jobs_have_no_lease(api, queue):
    """However the jobs ended."""
    ids = {end: api.submit(queue) for end in ("complete", "completed", "cancelled")}
    for job_id in ids.values():
        assert api.claimed(queue) == job_id
    expect(api.post(f"/v1/job/{ids['cancelled']}/action", {"action": "cancel"}), 200)
    api.set_state(ids["complete"], "complete")
    api.set_state(ids["completed"], "completed")
    waiting = api.submit(queue)
    time.sleep(5)
    for end, job_id in ids.items():
        assert api.get(f"/v1/result/{job_id}").json() == {"job_state": end}
    assert api.state(waiting) == "waiting"


@pytest.mark.slow
def test_no_leases(private, queue):
    api = Api(private("--sweep-interval", 50, "--job-lease", 0).url)
    job_id = api.submit(queue)
    assert api.claimed(queue) == job_id
    api.set_state(job_id, "test")
    time.sleep(3)
    assert api.state(job_id) == "test"


@pytest.mark.alike
@pytest.mark.parametrize("value", ["2", -1, 11, 1.5, True, None, {}])
def test_bad_wish_to_run_again(server, queue, value):
    response = Api(server.url).post("/v1/job", {"job_queue": queue, "rerun_on_orphan": value})
    expect(response, 422, invalid({"rerun_on_orphan": ["Must be an integer from 0 to 10."]}))

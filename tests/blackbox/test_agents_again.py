"""An agent that was started again: it has lost the jobs that it had before."""

import pytest

import auth
from client import Api, expect, expect_none
from stack import Stack, wait_until
from storage import storage_of

pytestmark = pytest.mark.waits

REASON = "agent {} was started again"


@pytest.fixture(scope="module")
def own(store_uri):
    with Stack(store_uri(), "--agent-names", "own") as stack:
        yield stack


@pytest.fixture
def api(own):
    return Api(own.url)


@pytest.fixture
def agent(api, queue):
    api.agent(queue, queues=[queue])
    return queue


def cookie(agent):
    return f"agent_name={agent}"


def take(api, queue, agent, state="test", **fields):
    """A job whose claim has arrived."""
    job_id = api.submit(queue, **fields)
    assert api.claimed(queue, cookie=cookie(agent)) == job_id
    if state:
        api.set_state(job_id, state)
    return job_id


@pytest.mark.parametrize("state", ["setup", "provision", "test", "reserve", "other"])
def test_a_later_claim(api, queue, agent, state):
    """Late results are taken all the same; jobs of other agents stay."""
    first, others = take(api, queue, agent, state), take(api, queue, agent + "-2")
    second = take(api, queue, agent)
    assert api.get(f"/v1/result/{first}").json() == {"job_state": "cancelled",
                                                     "end_reason": REASON.format(agent)}
    assert [api.state(j) for j in (others, second)] == ["test", "test"]
    assert expect(api.get(f"/v1/agents/data/{agent}"), 200).json()["job_id"] == second
    expect(api.post(f"/v1/result/{first}", {"status": {"test": 0}, "job_state": "complete"}), 200)
    assert api.get(f"/v1/result/{first}").json() == {"test_status": 0, "job_state": "complete"}
    assert api.state(second) == "test"


def test_a_claim_that_has_arrived_without_a_report(own, api, queue, agent):
    """The frontend tells it."""
    first = take(api, queue, agent, None)
    wait_until(lambda: storage_of(own).has_arrived(first), "the claim is confirmed")
    take(api, queue, agent)
    assert api.state(first) == "cancelled"


def test_what_ends_nothing(api, queue, agent):
    """A claim that gets no job, posts of users' kind and of a job's end, claims without a name."""
    job_id = take(api, queue, agent)
    expect_none(api.claim(queue, cookie=cookie(agent)))
    for fields in ({"state": "waiting"}, {"job_id": ""}, {"state": "waiting", "job_id": job_id},
                   {"state": "offline", "job_id": ""}):
        api.agent(agent, **fields)
    api.submit(queue)
    api.claimed(queue)
    assert api.state(job_id) == "test"


def test_a_post(api, queue, agent):
    job_id = take(api, queue, agent)
    api.agent(agent, state="waiting", job_id="")
    assert api.get(f"/v1/result/{job_id}").json()["end_reason"] == REASON.format(agent)
    api.agent(agent + "-2", state="waiting", job_id="")


def test_a_job_that_may_run_again(api, queue, agent):
    """It waits in its old place."""
    first = take(api, queue, agent, rerun_on_orphan=1)
    second = take(api, queue, agent)
    assert api.state(first) == "waiting"
    assert api.claimed(queue, cookie=cookie(agent + "-2")) == first
    assert api.state(second) == "test"


def test_own_names_are_the_default(private, queue):
    api = Api(private(env={"TESTFLINGER_AGENT_NAMES": ""}).url)
    first = take(api, queue, "a1")
    take(api, queue, "a1")
    assert api.state(first) == "cancelled"


def test_repeats_of_a_claim(api, queue, agent):
    """Asked again at once, the agent keeps the job that it was given."""
    first = take(api, queue, agent)
    for _ in range(3):
        expect_none(api.claim(queue, cookie=cookie(agent)))
    assert api.state(first) == "test"


def test_shared_names(private, queue):
    api = Api(private("--agent-names", "shared").url)
    jobs = [take(api, queue, "a1") for _ in range(2)]
    api.agent("a1", state="waiting", job_id="")
    assert [api.state(j) for j in jobs] == ["test", "test"]


def test_posts_of_users(private, queue):
    api = Api(private("--agent-names", "own", env=auth.ENV).url)
    job_id = take(api, queue, "a1")
    body = {"state": "waiting", "job_id": ""}
    expect(api.post("/v1/agents/data/a1", body, headers=auth.as_role("admin")), 200)
    assert api.state(job_id) == "test"
    expect(api.post("/v1/agents/data/a1", body, headers=auth.as_role("agent")), 200)
    wait_until(lambda: api.state(job_id) == "cancelled", "the agent's own post ends it")

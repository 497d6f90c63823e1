"""Agents that have nothing to do: what their polls and posts cost the store."""

import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import bson
import pytest

import auth
from client import Api, expect, expect_none
from stack import wait_until
from storage import now, storage_of
from test_longpoll import park
from test_query_plans import seen, watch

pytestmark = pytest.mark.waits

# Who is heard of is stored for all agents together, every twelfth of --agent-silent.
QUIET = ("--agent-silent", 86400, "--sweep-interval", "3600000")
AGENTS = 20
AGE_S = 20  # a post that changes nothing renews an older age


class Cost:
    """What the server asks of its store, and whether it writes."""

    def __init__(self, stack):
        self.stack, self.mongodb = stack, stack.store.startswith("mongodb")
        self.storage = storage_of(stack)

    def __enter__(self):
        self.operations, self.writes = [], 0
        if self.mongodb:
            watch(self.storage.db)
        else:
            self.file = sqlite3.connect(self.storage.path)
            self.version = self._version()
        return self

    def _version(self):
        """Another number after each commit of another process."""
        return self.file.execute("PRAGMA data_version").fetchone()[0]

    def __exit__(self, *_):
        if not self.mongodb:
            self.writes = self._version() != self.version
            self.file.close()
            return
        self.operations = list(seen(self.storage.db))
        self.writes = [o for o in self.operations if o["op"] != "query"]

    def of(self, collection):
        return [o for o in self.operations if o["collection"] == collection]


def started(api, n=AGENTS):
    """Names of agents that have made themselves known."""
    names = [f"agent-{i}" for i in range(n)]
    for name in names:
        api.agent(name, state="waiting", queues=[name, "lab"], comment="")
    return names


def poll(api, name):
    return api.get(f"/v1/job?queue={name}&queue=lab", headers={"Cookie": f"agent_name={name}"})


def test_polls_that_find_nothing(private, queue):
    """They write nothing, so nothing waits for the journal; each is one look, or less."""
    stack = private(*QUIET)
    api = Api(stack.url)
    names = started(api)
    expect_none(poll(api, names[0]))
    with Cost(stack) as cost, ThreadPoolExecutor(8) as pool:
        begun = time.monotonic()
        for answer in pool.map(lambda name: poll(Api(stack.url), name), names * 3):
            expect_none(answer)
        seconds = time.monotonic() - begun
    assert not cost.writes
    looks = len(stack.children("worker")) * (seconds + 1) * 2  # at open claims, once a second each
    assert len(cost.of("jobs")) <= 3 * AGENTS + looks
    job_id = api.submit("lab")
    assert expect(poll(api, names[3]), 200).json()["job_id"] == job_id


def test_a_claim_whose_answer_was_lost(private, queue):
    """The look at open claims that is skipped for others is not for the agent that has one."""
    stack = private(*QUIET, workers=1)
    api, storage = Api(stack.url), storage_of(stack)
    started(api, 2)
    expect_none(poll(api, "agent-0"))
    job_id = api.submit("lab")
    assert expect(poll(api, "agent-0"), 200).json()["job_id"] == job_id
    wait_until(lambda: storage.has_arrived(job_id), "the claim is confirmed")
    storage.open_claim(job_id)
    expect_none(poll(api, "agent-1"))
    answer = wait_until(lambda: (lambda a: a.status_code == 200 and a)(poll(api, "agent-0")),
                        "the same job", 5)
    assert answer.json()["job_id"] == job_id


def read(api, name):
    return expect(api.get(f"/v1/agents/data/{name}"), 200).json()


def test_posts_of_what_is_there(private, queue):
    """A post that changes nothing writes nothing; one that changes something does."""
    stack = private(*QUIET)
    api = Api(stack.url)
    names = started(api)
    texts = {queue: "a", "lab": "all"}
    expect(api.post("/v1/agents/queues", texts), 200, "OK")
    with Cost(stack) as cost:
        for name in names:
            api.agent(name, state="waiting", queues=[name, "lab"], comment="")
            api.agent(name, state="waiting")
            expect(api.post("/v1/agents/queues", texts), 200, "OK")
    assert not cost.writes
    for body in ({"state": "offline"}, {"state": "waiting"}, {"comment": "x"}, {"queues": []},
                 {"log": ["line"]}, {"other": 1}):
        with Cost(stack) as cost:
            api.agent(names[0], **body)
        assert cost.writes, body
    assert read(api, names[0])["comment"] == "x"
    expect(api.post("/v1/agents/queues", {queue: "a", "lab": "b"}), 200, "OK")
    assert expect(api.get("/v1/agents/queues"), 200).json() == {queue: "a", "lab": "b"}


def test_posts_in_turn(private, queue):
    """Each of them is seen by the next, whichever worker it comes to."""
    stack = private(*QUIET)
    api = Api(stack.url)
    started(api, 1)
    for state in ("test", "waiting", "test", "waiting"):
        api.agent("agent-0", state=state)
        assert read(api, "agent-0")["state"] == state


def test_the_age_is_renewed(private, queue):
    stack = private(*QUIET)
    api, storage = Api(stack.url), storage_of(stack)
    started(api, 1)
    for seconds, renewed in ((AGE_S - 5, False), (AGE_S + 5, True)):
        storage.set_silent("agent-0", seconds)
        before = read(api, "agent-0")["updated_at"]
        api.agent("agent-0", state="waiting")
        assert (read(api, "agent-0")["updated_at"] != before) == renewed


def test_reads_of_agents(private, queue):
    """Restricted queues and their owners are read once a second by each worker, not for each agent."""
    stack = private(*QUIET, workers=2)
    api = Api(stack.url)
    storage_of(stack).restrict(queue)
    names = started(api)
    read(api, names[0])
    with Cost(stack) as cost:
        begun = time.monotonic()
        for name in names * 3:
            read(api, name)
        seconds = time.monotonic() - begun
    assert not cost.writes
    most = 2 * (seconds + 1)
    assert len(cost.of("restricted_queues")) <= most and len(cost.of("client_permissions")) <= most
    if cost.mongodb:
        assert len(cost.of("agents")) == 3 * AGENTS


def owners(api, name, queue):
    return read(api, name)["restricted_to"].get(queue)


@pytest.mark.parametrize("by", ["http", "admin tool", "store"])
def test_a_restriction_is_seen_by_all_within_a_second(private, queue, by):
    """Made by a worker, by another program of ours, or by another server on the same store."""
    stack = private(*QUIET, "--auth", "roles", env=auth.ENV, workers=3)
    api, admin, storage = Api(stack.url), auth.as_role("admin"), storage_of(stack)
    auth.Admin(stack).create("owner", "its-own-secret-key", "contributor")
    expect(api.post(f"/v1/agents/data/{queue}", {"queues": [queue]}, headers=auth.as_role("agent")), 200)

    def shown():
        """What all workers say, as far as many requests reach them."""
        with ThreadPoolExecutor(6) as pool:
            return {str(o) for o in pool.map(lambda _: owners(Api(stack.url), queue, queue), range(30))}

    assert shown() == {"None"}
    if by == "http":
        expect(api.post(f"/v1/restricted-queues/{queue}", {"client_id": "owner"}, headers=admin), 200)
    elif by == "admin tool":
        storage.restrict(queue)
        auth.Admin(stack).good("clients", "edit", "owner", "--allow", queue)
    else:
        storage.restrict(queue)
        storage.allow("owner", queue)
    time.sleep(1.05)
    assert shown() == {"['owner']"}


# Held polls

def insert(stack, queue):
    """A job as the existing server would put it into the database; tells nobody."""
    job_id = str(uuid.uuid4())
    storage_of(stack).db.jobs.insert_one({
        "_id": bson.ObjectId(), "job_id": job_id, "created_at": now(), "job_priority": 0,
        "job_data": {"job_queue": queue}, "result_data": {"job_state": "waiting"}})
    return job_id


@pytest.mark.stores("mongodb")  # whose profiler counts
@pytest.mark.slow
def test_held_polls_ask_nothing(private, queue):
    stack = private(*QUIET)
    connections = [park(stack, f"{queue}-{i}", 20, f"agent-{i}") for i in range(AGENTS)]
    with Cost(stack) as cost:
        time.sleep(5)
    assert len(cost.of("jobs")) < AGENTS / 2
    job_id = Api(stack.url).submit(f"{queue}-7")
    assert connections[7].reply().json()["job_id"] == job_id
    for connection in connections:
        connection.socket.close()


@pytest.mark.stores("mongodb")
@pytest.mark.slow
def test_a_wake_that_was_lost_with_a_broker(private, queue):
    """A poll asks soon after a broker has come: what the old one did not pass on is not waited for."""
    stack = private(*QUIET, workers=1)
    with park(stack, queue, 20) as connection:
        time.sleep(0.5)
        begun = time.monotonic()
        job_id = insert(stack, queue)
        stack.kill("broker")
        assert connection.reply().json()["job_id"] == job_id
        assert time.monotonic() - begun < 12
    wait_until(stack.is_complete, "a new broker")


@pytest.mark.stores("mongodb")
@pytest.mark.slow
def test_a_job_of_another_server(private, queue):
    """Nobody tells of it: a held poll finds it when it asks by itself."""
    stack = private(*QUIET, workers=1)
    with park(stack, queue, 25) as connection:
        connection.socket.settimeout(40)
        time.sleep(0.5)
        job_id = insert(stack, queue)
        assert connection.reply().json()["job_id"] == job_id


def test_a_wake_is_passed_on(private, queue):
    """A job that excludes those who wait longest is not kept from the next one."""
    stack = private(*QUIET)
    api = Api(stack.url)
    excluded = [f"{queue}-{i}" for i in range(3)]
    for name in (*excluded, f"{queue}-other"):
        api.agent(name, queues=[queue])
    polls = [park(stack, queue, 20, name) for name in (*excluded, f"{queue}-other")]
    begun = time.monotonic()
    job_id = api.submit(queue, exclude_agents=excluded)
    assert polls[3].reply().json()["job_id"] == job_id
    assert time.monotonic() - begun < 10  # by itself it would ask after 15 s
    for poll in polls:
        poll.socket.close()


@pytest.mark.stores("mongodb")  # SQLite looks before it writes in any case
def test_polls_beside_claims_that_get_jobs(private, queue):
    """Where most polls find nothing, they cost one look also while others get jobs."""
    stack = private(*QUIET, workers=1)
    api = Api(stack.url)
    names = started(api, 10)
    for name in names * 4:
        expect_none(poll(api, name))
    with Cost(stack) as cost:
        for name in names:
            api.submit(queue)
            expect(api.get(f"/v1/job?queue={queue}"), 200)
            expect_none(poll(api, name))
    taking = [o for o in cost.of("jobs") if "findandmodify" in str(o.get("command", o)).lower()]
    assert len(taking) <= len(names)

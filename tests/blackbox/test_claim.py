"""GET /v1/job: which job an agent gets, and that no other gets it."""

import datetime
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, date_of, expect, expect_none
from storage import now


def test_claimed_job(api, queue):
    """All of the job's data, its id, and when it started."""
    fields = {"name": "n", "job_priority": 0, "provision_data": None, "test_data": {"test_cmds": "ls"},
              "global_timeout": 5.5, "option": [1]}
    job_id = api.submit(queue, **fields)
    job = expect(api.claim(queue), 200).json()
    assert abs(date_of(job.pop("started_at")) - now()) < datetime.timedelta(seconds=30)
    assert job == {**fields, "global_timeout": 5, "job_queue": queue, "job_id": job_id,
                   "exclude_agents": []}
    assert api.state(job_id) == "running"
    expect_none(api.claim(queue))


def test_nothing_to_do(api, queue):
    response = expect_none(api.claim(queue))
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("query", ["", "?", "?x=1", "?Queue=a", "?queues=a"])
def test_no_queue(api, query):
    """An old agent would take any other object for a job."""
    expect(api.get(f"/v1/job{query}"), 400, {})
    expect(api.get(f"/v1/job{query}", headers={"Cookie": "agent_name=a"}), 400, {})


@pytest.mark.parametrize("query", ["?queue=", "?queue", "?queue=&queue="])
def test_the_empty_queue_is_a_queue(api, query):
    expect_none(api.get(f"/v1/job{query}"))


def test_head_claims_nothing(api, queue):
    job_id = api.submit(queue)
    for _ in range(2):
        response = api.head(f"/v1/job?queue={queue}")
        assert response.status_code in (200, 204) and response.content == b""
    assert api.state(job_id) == "waiting"
    assert api.claimed(queue) == job_id


def test_first_come_first_served(api, queue):
    ids = [api.submit(queue) for _ in range(50)]
    assert [api.claimed(queue) for _ in ids] == ids
    expect_none(api.claim(queue))


def test_many_queues_give_the_oldest_job(api, queue):
    names = [f"{queue}-{c}" for c in "abc"]
    ids = [api.submit(names[i % 3]) for i in (2, 0, 1, 1, 2, 0)]
    assert [api.claimed(*names) for _ in ids] == ids
    expect_none(api.claim(*names))


def test_only_the_asked_queues_count(api, queue):
    api.submit(queue + "-b")
    expect_none(api.claim(queue, queue + "-a", queue + "-bb", queue.upper() + "-B"))
    expect(api.claim(queue, queue + "-b", queue + "-b"), 200)


def test_hundreds_of_queues(api, queue):
    job_id = api.submit(queue)
    names = [f"q{i}" for i in range(300)]
    assert api.claimed(*names, queue) == job_id


@pytest.mark.parametrize("name", [" ", "a b", "a/b", "caf\u00e9", "\U0001f600", "$x.y", "'\"--"])
def test_names_of_queues(api, queue, name):
    job_id = api.submit(queue + name)
    expect_none(api.claim(queue))
    assert api.claimed(queue + name) == job_id


def test_priority_then_age(api, storage, queue):
    ids = [api.submit(queue) for _ in range(5)]
    for job_id, priority in zip(ids, [0, 5, -1, 5, 100]):
        storage.set_priority(job_id, priority)
    order = [ids[i] for i in (4, 1, 3, 0, 2)]
    assert [api.claimed(queue) for _ in ids] == order


def test_priority_over_several_queues(api, storage, queue):
    names = [f"{queue}-{c}" for c in "ab"]
    ids = [api.submit(names[i]) for i in (0, 1, 0)]
    storage.set_priority(ids[1], 3)
    storage.set_priority(ids[2], 3)
    assert [api.claimed(*names) for _ in ids] == [ids[1], ids[2], ids[0]]


def test_the_oldest_of_equals(api, storage, queue):
    ids = [api.submit(queue) for _ in range(3)]
    storage.set_age(ids[2], 100)
    assert [api.claimed(queue) for _ in ids] == [ids[2], ids[0], ids[1]]


@pytest.mark.parametrize("age, least", [(0, 0), (100, 100), (49 * 3600, 49 * 3600)])
def test_wait_time(api, storage, queue, age, least):
    """Whole seconds; a wait of days counts in full."""
    job_id = api.submit(queue)
    storage.set_age(job_id, age)
    assert api.claimed(queue, queue + "-other") == job_id
    (wait,) = storage.wait_times(queue)
    assert isinstance(wait, int) and least <= wait <= least + 5
    api.submit(queue)
    api.claimed(queue)
    assert len(storage.wait_times(queue)) == 2


@pytest.mark.parametrize("agent", ["agent", "a b", "caf\u00e9", 'a"b\\c', "a;b,c", "a/b"])
def test_excluded_agent(api, queue, agent):
    """The agent is known by the cookie that it got for its name."""
    quoted = "".join(f"%{byte:02X}" for byte in f"{queue}{agent}".encode())
    cookie = api.agent(quoted, queues=[queue]).headers["Set-Cookie"].split("; HttpOnly")[0]
    other = api.agent(f"{queue}-other", queues=[queue]).headers["Set-Cookie"].split(";")[0]
    first = api.submit(queue, exclude_agents=["x", queue + agent])
    second = api.submit(queue, exclude_agents=[f"{queue}-other"])
    assert api.claimed(queue, cookie=cookie) == second
    expect_none(api.claim(queue, cookie=cookie))
    assert api.claim(queue, cookie=f"x=y; {other}; z=").json()["job_id"] == first


def test_without_a_cookie_nothing_is_excluded(api, queue):
    name = f"{queue}-agent"
    api.agent(name, queues=[queue])
    api.agent(f"{queue}-other", queues=[queue])
    ids = [api.submit(queue, exclude_agents=[name]) for _ in range(4)]
    cookies = [None, "agent_name=", "other=1", f"xagent_name={name}"]
    assert [api.claimed(queue, cookie=cookie) for cookie in cookies] == ids


def excluded(api, queue, jobs, names):
    """Many jobs that exclude so many agents; the cookie of the last of them."""
    agent = f"{queue}-agent"
    cookie = api.agent(agent, queues=[queue]).headers["Set-Cookie"].split(";")[0]
    api.agent(f"{queue}-other", queues=[queue])
    others = [f"{queue}-{n:04}-" + "x" * 200 for n in range(names - 1)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Api(api.url).submit(queue, exclude_agents=[*others, agent]),
                      range(jobs)))
    return cookie


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_job_behind_3000_that_exclude_the_agent(private):
    """It is found within a few claims, each of which looks at a part of the others only."""
    api = Api(private(workers=2).url)
    queue = f"q-{uuid.uuid4().hex[:12]}"
    cookie = excluded(api, queue, 3000, names=20)
    good = api.submit(queue, exclude_agents=[f"{queue}-other"])
    for polls in range(40):
        answer = api.claim(queue, cookie=cookie)
        if answer.status_code == 200:
            break
        expect_none(answer)
    assert answer.json()["job_id"] == good and polls < 36
    expect_none(api.claim(queue, cookie=cookie))
    first = api.submit(queue)  # the next one is found, too
    found = [a.json()["job_id"] for _ in range(40)
             if (a := api.claim(queue, cookie=cookie)).status_code == 200]
    assert found == [first]
    assert api.claim(queue).status_code == 200  # an agent that no job excludes gets the first at once


def test_jobs_that_exclude_the_agent_come_and_go(api, queue, storage):
    """A claim finds jobs submitted after it passed over the others, also one of higher priority."""
    cookie = excluded(api, queue, 30, names=3)
    expect_none(api.claim(queue, cookie=cookie))
    urgent, late = api.submit(queue), api.submit(queue)
    storage.set_priority(urgent, 5)
    assert [api.claimed(queue, cookie=cookie) for _ in range(2)] == [urgent, late]
    expect_none(api.claim(queue, cookie=cookie))


def claim_all(server, names, found):
    api = Api(server.url)
    while (response := api.claim(*names)).status_code != 204:
        found.append(expect(response, 200).json()["job_id"])


@pytest.mark.slow
@pytest.mark.parametrize("queues", [1, 3])
def test_claimers_at_a_time(server, api, queue, queues):
    """16 agents on the same queues: each job goes to one of them."""
    names = [f"{queue}-{i}" for i in range(queues)]
    ids = [api.submit(names[i % queues]) for i in range(200)]
    found = [[] for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda mine: claim_all(server, names, mine), found))
    assert sorted(sum(found, [])) == sorted(ids)


@pytest.mark.slow
def test_submitters_and_claimers_at_a_time(server, api, queue):
    """What is submitted while others claim is handed out once as well."""
    submitted, found, over = [[] for _ in range(4)], [[] for _ in range(4)], threading.Event()

    def submit(mine):
        one = Api(server.url)
        mine += [one.submit(queue) for _ in range(50)]

    def claim(mine):
        while not over.is_set():
            claim_all(server, [queue], mine)

    with ThreadPoolExecutor(8) as pool:
        claims = [pool.submit(claim, mine) for mine in found]
        try:
            list(pool.map(submit, submitted))
        finally:
            over.set()
        for future in claims:
            future.result()
    claim_all(server, [queue], found[0])
    assert sorted(sum(found, [])) == sorted(sum(submitted, []))

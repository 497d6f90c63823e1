"""order=query on GET /v1/job: the queues count in the order of the query."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, expect, expect_none


def claim(api, *queues, order="query", wait=None, cookie=None):
    query = [("queue", q) for q in queues] + [("order", order)]
    query += [("wait", wait)] if wait else []
    return api.get("/v1/job", params=query, headers={"Cookie": cookie} if cookie else {})


def claimed(api, *queues, **options):
    return expect(claim(api, *queues, **options), 200).json()["job_id"]


def test_the_order_of_the_query(api, storage, queue):
    """Before age and priority, which count within a queue; without the parameter they count alone."""
    own, shared = f"{queue}-own", f"{queue}-shared"
    first, second = api.submit(shared), api.submit(shared)
    young, important = api.submit(own), api.submit(own)
    storage.set_priority(second, 9)
    storage.set_priority(important, 1)
    assert claimed(api, own, shared) == important
    assert claimed(api, own, shared) == young
    assert claimed(api, own, shared) == second
    last = api.submit(own)
    assert api.claimed(own, shared) == first
    assert claimed(api, shared, own) == last
    expect_none(claim(api, own, shared))


def test_a_job_that_excludes_the_agent_does_not_hide_the_next_queue(api, queue):
    names = [f"{queue}-{n}" for n in range(3)]
    cookie = api.agent(f"{queue}-agent", queues=names).headers["Set-Cookie"].split(";")[0]
    api.agent(f"{queue}-other", queues=names)
    for name in names[:2]:
        api.submit(name, exclude_agents=[f"{queue}-agent"])
    job_id = api.submit(names[2])
    assert claimed(api, *names, cookie=cookie) == job_id
    expect_none(claim(api, *names, cookie=cookie))


@pytest.mark.parametrize("order", ["", "age", "Query", "query ", "query\0", "\U0001f600"])
def test_another_order(api, queue, order):
    job_id = api.submit(queue)
    expect(claim(api, queue, order=order), 400, {})
    assert api.state(job_id) == "waiting"


def test_at_most_100_queues(api, queue):
    names = [f"{queue}-{n}" for n in range(100)]
    job_id = api.submit(names[-1])
    expect(claim(api, *names, "one-more"), 400, {})
    assert claimed(api, *names) == job_id


def test_order_without_a_queue(api):
    expect(api.get("/v1/job?order=query"), 400, {})


def test_a_claim_that_waits(server, api, queue):
    """Both queues wake it; it takes from the first one."""
    own, shared = f"{queue}-own", f"{queue}-shared"
    for submitted in (own, shared):
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(claimed, Api(server.url), own, shared, wait=15)
            time.sleep(0.3)
            assert api.submit(submitted) == answer.result()


def test_many_at_once(server, api, queue):
    """Each job goes to one, those of the first queue before the others."""
    own, shared = f"{queue}-own", f"{queue}-shared"
    late = [api.submit(shared) for _ in range(8)]
    early = [api.submit(own) for _ in range(8)]
    start = threading.Barrier(8)

    def one(_):
        start.wait()
        return claimed(Api(server.url), own, shared)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == sorted(early)
        assert sorted(pool.map(one, range(8))) == sorted(late)

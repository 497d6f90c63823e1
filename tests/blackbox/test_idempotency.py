"""Idempotency-Key: a submission that is sent again with the key of an earlier one is the same job."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import auth
from client import Api, expect, expect_none, message, new_id
from stack import wait_until

REUSED = message("Idempotency-Key was used with another body")
LENGTH = message("Idempotency-Key must have 1 to 255 characters")


def submit(api, body, key, **headers):
    return api.post("/v1/job", body, headers={"Idempotency-Key": key, **headers})


def job_id(response):
    return expect(response, 200).json()["job_id"]


def count(api, queue):
    response = api.get(f"/v1/queues/{queue}/jobs")
    return len(response.json()) if response.status_code == 200 else 0


def test_same_key_same_body(api, queue):
    """In any state of the job; the body may be written in another way."""
    body = {"job_queue": queue, "tags": ["a"], "test_data": {"test_cmds": "x"}}
    first = job_id(submit(api, body, queue))
    assert job_id(submit(api, body, queue)) == first
    text = f' {{"test_data" : {{"test_cmds":"x"}}, "tags": ["a"], "job_queue": "{queue}"}} '
    assert job_id(api.post_body("/v1/job", text, **{"Idempotency-Key": queue})) == first
    assert api.claimed(queue) == first
    assert job_id(submit(api, body, queue)) == first
    api.set_state(first, "complete")
    assert job_id(submit(api, body, queue)) == first
    assert api.state(first) == "complete" and count(api, queue) == 1
    expect_none(api.claim(queue))


def test_same_key_other_body(api, queue):
    first = job_id(submit(api, {"job_queue": queue}, queue))
    for change in ({"tags": ["a"]}, {"job_queue": queue + "2"}, {"job_id": first}, {"name": ""}):
        expect(submit(api, {"job_queue": queue, **change}, queue), 422, REUSED)
    assert count(api, queue) == 1


def test_other_key(api, queue):
    body = {"job_queue": queue}
    ids = {job_id(submit(api, body, f"{queue}{i}")) for i in range(3)}
    ids |= {job_id(api.post("/v1/job", body)) for _ in range(2)}
    assert len(ids) == count(api, queue) == 5


def test_refused_body_leaves_the_key_free(api, queue):
    expect(submit(api, {"job_queue": 5}, queue), 422)
    expect(submit(api, {"job_queue": queue, "job_id": "x"}, queue), 400)
    first = job_id(submit(api, {"job_queue": queue}, queue))
    assert job_id(submit(api, {"job_queue": queue}, queue)) == first


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 5000])
def test_bad_length(api, queue, key):
    expect(submit(api, {"job_queue": queue}, key), 400, LENGTH)
    assert count(api, queue) == 0


@pytest.mark.parametrize("key", ["k" * (255 - 15), " a b ", "é", '"quoted"', "{}"])
def test_any_characters(api, queue, key):
    key = (queue + key).encode()
    first = job_id(submit(api, {"job_queue": queue}, key))
    assert job_id(submit(api, {"job_queue": queue}, key)) == first


def test_given_id(api, queue):
    """A job that is over is run again by a new key, not by the old one."""
    id_ = new_id()
    body = {"job_queue": queue, "job_id": id_}
    assert job_id(submit(api, body, queue)) == id_
    assert api.claimed(queue) == id_
    api.set_state(id_, "complete")
    assert job_id(submit(api, body, queue)) == id_
    assert api.state(id_) == "complete"
    assert job_id(submit(api, body, queue + "2")) == id_
    assert api.state(id_) == "waiting"


def test_at_the_same_time(private, queue):
    """Of many, to several workers, one makes the job."""
    server = private(workers=3, frontends=2)
    bodies = [{"job_queue": queue, "tags": [str(i % 2)]} for i in range(24)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda body: submit(Api(server.url), body, queue), bodies))
    assert sorted({a.status_code for a in answers}) == [200, 422]
    assert len({job_id(a) for a in answers if a.status_code == 200}) == 1
    assert [a.status_code for a in answers].count(200) == 12
    assert count(Api(server.url), queue) == 1


@pytest.mark.slow
def test_time(private, queue):
    """After it the key is a new one, also where the sweep has not come by."""
    api = Api(private("--expire-keys", 4, "--sweep-interval", 600000).url)
    first = job_id(submit(api, {"job_queue": queue}, queue))
    assert job_id(submit(api, {"job_queue": queue}, queue)) == first
    other = {"job_queue": queue, "tags": []}
    second = wait_until(lambda: (r := submit(api, other, queue)).status_code == 200 and job_id(r), "the key is free")
    assert second != first and count(api, queue) == 2


def test_keys_belong_to_clients(roles_server, queue):
    """Nobody gets another client's job by its key."""
    api = Api(roles_server.url)
    callers = [auth.as_role("contributor", "c1"), auth.as_role("contributor", "c2"), {}]
    ids = [job_id(submit(api, {"job_queue": queue}, queue, **who)) for who in callers]
    assert len(set(ids)) == 3
    assert ids == [job_id(submit(api, {"job_queue": queue}, queue, **who)) for who in callers]


def test_kept_over_a_restart(private, queue):
    """And over the death of all processes."""
    server = private("--sweep-interval", 50)
    first = job_id(submit(Api(server.url), {"job_queue": queue}, queue))
    server.signal(9, [*server.children("worker"), *server.children("frontend")])
    wait_until(server.is_complete, "all are there again")
    assert job_id(submit(Api(server.url), {"job_queue": queue}, queue)) == first

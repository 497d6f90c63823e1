"""Expensive requests do not delay the others: how a broker uses the sizes of answers, with peers that
this file plays, and on a whole server."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, expect
from test_broker import BEAT, PING, REQUEST, broker, start, unpack

BIG = 600 * 1024  # bytes of an answer: above what counts as big (broker/big.h)


def subject(op, kind=1):
    """What requests are about, as their frontend tells the broker."""
    return (op << 24) + kind


def ask(frontend, origin=1, op=1, kind=1, **more):
    """A request of a client (the place of `instance`) about a subject (that of `window`)."""
    return frontend.request(instance=origin, window=subject(op, kind), **more)


def teach(frontend, worker, op=1, kind=1, origin=99, size=BIG):
    """Teaches the broker the size of the answers about this subject."""
    id_ = ask(frontend, origin, op, kind)
    assert worker.ids() == [id_]
    worker.reply(id_, payload=bytes(size))
    assert frontend.answer()["id"] == id_


def taken(workers, seconds=3 * BEAT):
    """Ids that the workers get within this time, by the worker's number."""
    got = {n: [] for n in range(len(workers))}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for n, worker in enumerate(workers):
            while worker.socket.poll(5):
                heads = map(unpack, worker.socket.recv_multipart()[::2])
                got[n] += [h["id"] for h in heads if h["type"] == REQUEST]
    return got


def test_big_ones_get_half_of_the_workers(broker):
    """However many big ones wait, the other workers serve the rest."""
    frontend, workers = broker.frontend(), [broker.worker() for _ in range(4)]
    time.sleep(BEAT)
    teach(frontend, next(w for w in workers if w is workers[-1]))
    big = {ask(frontend, origin=n) for n in range(1, 11)}
    got = taken(workers)
    busy = [n for n in got if got[n]]
    assert len(busy) == 2 and all(len(got[n]) == 1 and set(got[n]) <= big for n in busy)
    free = [workers[n] for n in got if n not in busy]
    for _ in range(20):
        id_ = ask(frontend, op=2)
        answered = [(w, ids) for w, ids in zip(free, taken(free, 0.02).values()) if ids]
        assert [ids for _, ids in answered] == [[id_]]
        answered[0][0].reply(id_)
        assert frontend.answer()["id"] == id_
    workers[busy[0]].reply(*got[busy[0]], payload=bytes(BIG))  # another big one may go
    assert len(sum(taken(workers).values(), [])) == 1


def test_big_bodies_count_as_well(broker):
    frontend, workers = broker.frontend(), [broker.worker() for _ in range(4)]
    time.sleep(BEAT)
    for _ in range(5):
        frontend.request(bytes(BIG))  # also when its frontend names no subject
    assert len(sum(taken(workers).values(), [])) == 2


def test_a_single_worker_takes_turns(broker):
    """After a big request, the worker serves others for as long as that one took."""
    frontend, worker = broker.frontend(), broker.worker()
    teach(frontend, worker)
    first, second = ask(frontend), ask(frontend)
    assert worker.ids() == [first]
    other = ask(frontend, op=2)
    time.sleep(0.6)
    worker.reply(first, payload=bytes(BIG))
    began = time.monotonic()
    assert worker.ids() == [other]
    worker.reply(other)
    served = 0
    while True:  # the others ask again at once
        other = ask(frontend, op=2)
        ids = worker.ids()
        if ids == [second]:
            break
        assert ids == [other]
        worker.reply(other)
        served += 1
    assert time.monotonic() - began > 0.4 and served > 3
    worker.reply(second, payload=bytes(BIG))
    assert worker.ids() == [other]


@pytest.mark.alone
def test_a_single_worker_without_others_does_not_rest(broker):
    frontend, worker = broker.frontend(), broker.worker()
    teach(frontend, worker)
    first, second = ask(frontend), ask(frontend)
    assert worker.ids() == [first]
    time.sleep(1)
    worker.reply(first, payload=bytes(BIG))
    began = time.monotonic()
    assert worker.ids() == [second] and time.monotonic() - began < 0.5


def test_clients_take_turns(broker):
    frontend, worker = broker.frontend(), broker.worker()
    teach(frontend, worker)
    many = [ask(frontend, origin=7) for _ in range(10)]
    assert worker.ids() == [many[0]]
    lonely = ask(frontend, origin=8)
    worker.reply(many[0], payload=bytes(BIG))
    order = []
    for _ in range(3):
        id_, = worker.ids()
        order.append(id_)
        worker.reply(id_, payload=bytes(BIG))
    assert lonely in order[:2]


def test_bundles_are_formed_by_expected_bytes(broker):
    """Middle-sized ones: two answers of 100 KiB are a bundle, one more goes with the next."""
    frontend, worker = broker.frontend(), broker.worker()
    teach(frontend, worker, size=100 * 1024)
    hold = ask(frontend, op=3)
    assert worker.ids() == [hold]
    ids = [ask(frontend) for _ in range(6)]
    time.sleep(BEAT)
    worker.reply(hold)
    for n in range(0, 6, 2):
        assert worker.ids() == ids[n:n + 2]
        worker.reply(*ids[n:n + 2], payload=bytes(100 * 1024))


def test_a_client_that_asks_for_ever_others_is_known_by_itself(broker):
    """A client whose every request names a new subject does not make others' requests big."""
    frontend, workers = broker.frontend(), [broker.worker() for _ in range(2)]
    time.sleep(BEAT)
    teach(frontend, workers[1], kind=1, origin=5)
    ids = [ask(frontend, origin=5, kind=100 + n) for n in range(4)]
    other = ask(frontend, origin=6, kind=200)
    got = taken(workers)
    assert sorted(map(len, got.values())) == [1, 1]
    assert other in sum(got.values(), []) and ids[0] in sum(got.values(), [])


def test_a_client_has_its_share_of_the_queue(start):
    broker = start("--queue-limit", 80)
    frontend, worker = broker.frontend(), broker.worker()
    teach(frontend, worker)
    busy = ask(frontend, op=2)
    assert worker.ids() == [busy]
    for _ in range(11):
        ask(frontend, origin=7)
    refused = ask(frontend, origin=7)
    assert frontend.rejection() == (refused, "ERR_FULL")
    ask(frontend, origin=8)
    ask(frontend, origin=7, op=2)
    assert frontend.silent()


def test_a_worker_that_dies_of_big_ones_leaves_their_share(broker):
    """The number of big requests in progress stays exact."""
    frontend = broker.frontend()
    workers = [broker.worker() for _ in range(2)]
    time.sleep(BEAT)
    teach(frontend, workers[1])
    for _ in range(3):
        ids = [ask(frontend)]
        got = taken(workers)
        victim = next(n for n in got if got[n])
        assert got[victim] == ids
        workers[victim].close()
        assert workers[1 - victim].ids() == ids
        workers[1 - victim].reply(*ids, payload=bytes(BIG))
        assert frontend.answer()["id"] == ids[0]
        workers[victim] = broker.worker()
        time.sleep(BEAT)


@pytest.fixture(scope="module")
def big_job(server):
    text = "x" * (6 << 20)
    job = {"job_queue": f"q-{uuid.uuid4().hex}", "test_data": {"test_cmds": text}}
    return expect(Api(server.url).post("/v1/job", json=job), 200).json()["job_id"], job


@pytest.mark.slow
def test_readers_and_others(server, big_job):
    """Six clients read a job of 6 MiB, others submit: all get what they asked for."""
    job_id, job = big_job

    def read(_):
        api = Api(server.url)
        for _ in range(3):
            answer = expect(api.get(f"/v1/job/{job_id}"), 200).json()
            assert answer["test_data"] == job["test_data"] and answer["job_id"] == job_id
        return True

    def submit(n):
        api = Api(server.url)
        return [api.submit(f"small-{n}") for _ in range(20)]

    with ThreadPoolExecutor(12) as pool:
        readers = [pool.submit(read, n) for n in range(6)]
        others = [pool.submit(submit, n) for n in range(4)]
        assert all(r.result(timeout=120) for r in readers)
        ids = sum((o.result(timeout=120) for o in others), [])
    assert len(set(ids)) == 80
    assert json.loads(expect(Api(server.url).get(f"/v1/job/{ids[0]}"), 200).text)["job_id"] == ids[0]

"""wait= on GET /v1/job: a claim waits for a job in the frontend."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, Raw, expect, expect_none
from stack import SANITIZED, cpu_seconds, soon, wait_until
from test_claim_delivery import WATCHED, answered, insist

pytestmark = pytest.mark.waits


def ask(queue, wait, agent=None):
    cookie = f"Cookie: agent_name={agent}\r\n" if agent else ""
    return f"GET /v1/job?queue={queue}&wait={wait} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n".encode()


def park(server, queue, wait=20, agent=None):
    connection = Raw(server).send(ask(queue, wait, agent))
    time.sleep(0.05)
    return connection


@pytest.mark.stores("sqlite")  # the frontend holds them, no store
@pytest.mark.slow
@pytest.mark.parametrize("wait", [1, 2])
def test_no_job_comes(api, queue, wait):
    def poll():
        start = time.monotonic()
        expect_none(api.get(f"/v1/job?queue={queue}&wait={wait}"))
        assert wait - 0.05 <= time.monotonic() - start

    soon(wait + 1, poll)


@pytest.mark.parametrize("query", ["", "&wait=0"])
def test_without_waiting(api, queue, query):
    soon(0.9, lambda: expect_none(api.get(f"/v1/job?queue={queue}{query}")))


@pytest.mark.stores("sqlite")  # the frontend holds them, no store
@pytest.mark.parametrize("wait", ["", "x", "-1", "1.5", "1%00", "9999999999999999999999"])
def test_bad_wait(api, queue, wait):
    expect(api.get(f"/v1/job?queue={queue}&wait={wait}"), 400, {})


def test_a_job_that_is_there(api, queue):
    def take():
        job_id = api.submit(queue)
        assert expect(api.get(f"/v1/job?queue={queue}&wait=20"), 200).json()["job_id"] == job_id

    soon(0.9, take)


def test_head_does_not_wait(api, queue):
    soon(0.9, lambda: api.head(f"/v1/job?queue={queue}&wait=20"))


@pytest.mark.alone
def test_woken_by_a_submission(server, api, queue):
    """Well before it would look by itself."""
    delays = []
    for _ in range(20):
        with park(server, queue) as connection:
            start = time.monotonic()
            job_id = api.submit(queue)
            assert connection.reply().json()["job_id"] == job_id
            delays.append(time.monotonic() - start)
    assert sorted(delays)[-2] < 0.5, delays


@pytest.mark.slow
def test_other_queues_do_not_wake(server, api, queue):
    with park(server, queue, 2) as connection:
        api.submit(queue + "-other")
        assert connection.reply().status_code == 204


@pytest.mark.alone
@pytest.mark.slow
def test_each_job_to_one(private, queue):
    """Two frontends with waiting agents; every job is handed out once and at once."""
    server = private(frontends=2)
    api = Api(server.url)
    connections = [park(server, queue) for _ in range(20)]
    start = time.monotonic()
    ids = [api.submit(queue) for _ in connections]
    found = [connection.reply().json()["job_id"] for connection in connections]
    assert sorted(found) == sorted(ids)
    assert time.monotonic() - start < 5
    for connection in connections:
        connection.socket.close()


def test_agent_that_goes_while_it_waits(server, api, queue):
    connection = park(server, queue)
    connection.file.close()
    connection.socket.close()
    job_id = api.submit(queue)  # which may go to the dead connection, and comes back
    found = wait_until(lambda: (r := api.claim(queue)).status_code == 200 and r, "it waits")
    assert found.json()["job_id"] == job_id


def test_woken_by_a_returned_claim(server, api, queue):
    def attempt():
        name = f"{queue}-{time.monotonic_ns()}"
        job_id = api.submit(name)
        first = Raw(server).send(ask(name, 0))
        before = answered([first])
        with park(server, name) as second:
            first.file.close()
            first.socket.close()
            if time.monotonic() - before > WATCHED:
                return False
            assert second.reply().json()["job_id"] == job_id
            return True

    insist(attempt)


@pytest.mark.slow
def test_excluded_agent_goes_on_waiting(server, api, queue):
    api.agent(f"{queue}-a", queues=[queue])
    api.agent(f"{queue}-b", queues=[queue])
    with park(server, queue, 2, f"{queue}-a") as excluded, park(server, queue, 9) as other:
        job_id = api.submit(queue, exclude_agents=[f"{queue}-a"])
        assert other.reply().json()["job_id"] == job_id
        assert excluded.reply().status_code == 204


@pytest.mark.alone
@pytest.mark.stores("sqlite")  # the frontend holds them, no store
@pytest.mark.slow
def test_setting_holds_plain_polls(private, queue):
    server = private("--poll-hold", 2)
    api = Api(server.url)
    start = time.monotonic()
    expect_none(api.claim(queue))
    assert 1.9 <= time.monotonic() - start < 3
    threading.Timer(0.3, lambda: Api(server.url).submit(queue)).start()
    start = time.monotonic()
    expect(api.claim(queue), 200)
    assert time.monotonic() - start < 1.5


def test_drain_answers_those_who_wait(private, queue):
    server = private()
    connections = [park(server, queue) for _ in range(5)]
    start = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(server.signal, signal.SIGTERM, server.children("frontend"))
        assert [c.reply().status_code for c in connections] == [204] * 5
        for connection in connections:
            connection.socket.close()
        end.result()
    assert time.monotonic() - start < 9
    wait_until(server.is_complete, "a new frontend")


@pytest.mark.stores("sqlite")  # the frontend holds them, no store
@pytest.mark.slow
def test_memory_and_cpu_of_a_thousand(private, queue):
    server = private()
    (pid,) = server.children("frontend")

    def figures():
        with open(f"/proc/{pid}/status") as status:
            rss = [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]
        return rss, cpu_seconds(pid)

    def used():
        """Of a processor, in three seconds."""
        _, before = figures()
        time.sleep(3)
        return figures()[1] - before

    before, _ = figures()
    connections = [Raw(server).send(ask(queue, 25)) for _ in range(1000)]
    time.sleep(2)
    # None asks again so soon. On a busy machine, the first questions take their time.
    assert any(used() < 0.3 for _ in range(4))
    assert SANITIZED or figures()[0] - before < 20 * 1024
    for connection in connections:
        connection.socket.close()

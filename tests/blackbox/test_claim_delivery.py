"""Jobs that were handed out and did not arrive wait again; those that arrived never do."""

import random
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, Raw, expect, expect_none
from stack import wait_until


def ask(queue, agent=None):
    cookie = f"Cookie: agent_name={agent}\r\n" if agent else ""
    return f"GET /v1/job?queue={queue} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n".encode()


def reset(connection):
    """Closes with a reset, as the end of a process with unread data does."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.file.close()
    connection.socket.close()


def test_closed_before_the_answer_is_read(server, api, queue):
    """The answer lies unread in the agent's socket when it ends."""
    job_id = api.submit(queue)
    connection = Raw(server).send(ask(queue))
    wait_until(lambda: api.state(job_id) == "running", "it is handed out")
    time.sleep(0.02)
    connection.file.close()
    connection.socket.close()
    wait_until(lambda: api.state(job_id) == "waiting", "it waits again", 3)
    assert api.claimed(queue) == job_id


def test_returned_job_has_its_old_place(server, api, queue):
    ids = [api.submit(queue) for _ in range(3)]
    connection = Raw(server).send(ask(queue))
    wait_until(lambda: api.state(ids[0]) == "running", "it is handed out")
    reset(connection)
    wait_until(lambda: api.state(ids[0]) == "waiting", "it waits again", 3)
    assert [api.claimed(queue) for _ in ids] == ids


@pytest.mark.parametrize("seconds", [0, 0.0005, 0.001, 0.002, 0.005, 0.02])
def test_closed_at_any_point(server, api, queue, seconds):
    """No job is lost, and none is left with an agent that is gone."""
    ids = {api.submit(queue) for _ in range(10)}
    for _ in range(10):
        connection = Raw(server).send(ask(queue))
        time.sleep(seconds * random.random() * 2)
        reset(connection)
    found = set()

    def collect():
        response = api.claim(queue)
        if response.status_code == 200:
            job_id = response.json()["job_id"]
            assert job_id not in found
            found.add(job_id)
        return found == ids

    wait_until(collect, "all jobs are handed out", 10)


@pytest.mark.slow
def test_agents_that_close_after_reading(private, queue):
    """Orderly closes at once: their jobs have arrived, and none is handed out again."""
    server = private("--claim-timeout", 2, "--sweep-interval", 50, frontends=2)
    api = Api(server.url)
    ids = sorted(api.submit(queue) for _ in range(60))

    def one(_):
        with Raw(server) as connection:
            return connection.send(ask(queue)).reply().json()["job_id"]

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, ids)) == ids
    time.sleep(3)
    expect_none(api.claim(queue))


@pytest.mark.slow
def test_kept_connection_confirms(private, queue):
    """A quiet connection that stays open: no call tells that the job has arrived."""
    server = private("--claim-timeout", 2, "--sweep-interval", 50)
    api = Api(server.url)
    job_id = api.submit(queue)
    with Raw(server) as connection:
        assert connection.send(ask(queue)).reply().json()["job_id"] == job_id
        time.sleep(3.5)
    assert api.state(job_id) == "running"
    expect_none(api.claim(queue))


def test_same_agent_many_jobs(api, queue):
    """An agent that asks again at once gets the next job."""
    cookie = f"agent_name={queue}"
    ids = [api.submit(queue) for _ in range(20)]
    assert [api.claimed(queue, cookie=cookie) for _ in ids] == ids
    expect_none(api.claim(queue, cookie=cookie))


def claim_and_kill(server, queue, agent=None):
    """Kills the frontend between the claim and the confirmation, which comes after 250 ms."""
    (frontend,) = server.children("frontend")
    connection = Raw(server).send(ask(queue, agent) if agent else ask(queue))
    assert connection.socket.recv(1)
    server.signal(signal.SIGKILL, [frontend])
    connection.socket.close()
    wait_until(lambda: frontend not in server.children("frontend") and server.is_complete(),
               "a new frontend")


@pytest.mark.slow
def test_claim_that_nobody_confirms(private, queue):
    """The frontend is killed between the claim and the confirmation."""
    server = private("--claim-timeout", 2, "--sweep-interval", 50)
    api = Api(server.url)
    job_id = api.submit(queue)
    claim_and_kill(server, queue)
    api = Api(server.url)
    wait_until(lambda: api.state(job_id) == "waiting", "it waits again", 12)
    assert api.claimed(queue) == job_id


@pytest.mark.slow
def test_same_agent_gets_its_job_again(private, queue):
    """The same, but the agent asks again."""
    server = private("--claim-timeout", 60)
    job_id = Api(server.url).submit(queue)
    claim_and_kill(server, queue, "a1")
    api = Api(server.url)
    time.sleep(1.6)
    expect_none(api.claim(queue, cookie="agent_name=a2"))
    expect_none(api.claim(queue + "-other", cookie="agent_name=a1"))
    assert api.claimed(queue, cookie="agent_name=a1") == job_id
    expect_none(api.claim(queue, cookie="agent_name=a1"))


@pytest.mark.slow
def test_report_confirms(private, queue):
    """The frontend died after the agent got its job: the agent's posts confirm the claim."""
    server = private("--claim-timeout", 2, "--sweep-interval", 50)
    job_id = Api(server.url).submit(queue)
    connection = Raw(server).send(ask(queue))
    assert connection.reply().json()["job_id"] == job_id
    server.kill("frontend")
    wait_until(server.is_complete, "a new frontend")
    api = Api(server.url)
    expect(api.post(f"/v1/result/{job_id}", {"device_info": {"a": 1}}), 200)
    time.sleep(4.5)
    assert api.state(job_id) == "running"
    expect_none(api.claim(queue))


def part_of_request(server, queue):
    """No claim has been made."""
    reset(Raw(server).send(ask(queue)[:-2]))


def half_closed(server, queue):
    """An agent that closes its sending side counts as gone, and gets only an answer already sent."""
    with Raw(server) as connection:
        connection.send(ask(queue)).socket.shutdown(socket.SHUT_WR)
        try:
            return connection.reply().json()["job_id"]
        except ConnectionError:
            return None


def first_byte(server, queue):
    connection = Raw(server).send(ask(queue))
    assert connection.socket.recv(1) == b"H"
    reset(connection)


def half_of_answer(server, queue):
    """The rest lies unread when the agent's process ends."""
    connection = Raw(server).send(ask(queue))
    assert len(connection.socket.recv(100)) == 100
    connection.file.close()
    connection.socket.close()


def with_another_request(server, queue):
    """The second request of a connection tells that the first one's answer was read."""
    with Raw(server) as connection:
        job_id = connection.send(ask(queue)).reply().json()["job_id"]
        assert connection.send(b"GET /v1/ HTTP/1.1\r\nHost: a\r\n\r\n").reply().status_code == 200
        reset(connection)
        return job_id


@pytest.mark.parametrize("leave", [part_of_request, half_closed, first_byte, half_of_answer,
                                   with_another_request])
def test_leaving_at_a_point(server, api, queue, leave):
    """Those that got their job keep it; of the others it waits again."""
    job_id = api.submit(queue, test_data={"test_cmds": "x" * 2000})
    got = leave(server, queue)
    if got:
        assert got == job_id
        time.sleep(0.5)
        assert api.state(job_id) == "running"
        expect_none(api.claim(queue))
    else:
        # The server may hand the job to the dead connection first; then it comes back.
        answer = wait_until(lambda: (r := api.claim(queue)).status_code == 200 and r, "it waits")
        assert answer.json()["job_id"] == job_id


@pytest.mark.slow
def test_frontends_are_killed_while_agents_claim(private, queue):
    """Each job comes to one agent, and to none twice."""
    server = private("--claim-timeout", 3, "--sweep-interval", 50, frontends=2)
    api = Api(server.url)
    ids = [api.submit(queue) for _ in range(80)]
    end = time.monotonic() + 40

    def insist(call):
        while time.monotonic() < end:
            try:
                response = call(Api(server.url))
                if response.status_code < 500:
                    return response
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("no answer any more")

    def agent(number):
        got = []
        while not all(state != "waiting" for state in states.values()):
            response = insist(lambda api: api.claim(queue, cookie=f"agent_name=a{number}"))
            if response.status_code == 200:
                job_id = response.json()["job_id"]
                got.append(job_id)
                states[job_id] = "got"
                insist(lambda api: api.post(f"/v1/result/{job_id}", {"job_state": "setup"}))
            else:
                time.sleep(0.1)
        return got

    states = dict.fromkeys(ids, "waiting")
    with ThreadPoolExecutor(4) as pool:
        agents = [pool.submit(agent, number) for number in range(4)]
        for _ in range(6):
            time.sleep(0.25)
            wait_until(lambda: server.children("frontend"), "a frontend")
            server.kill("frontend")
        found = [job_id for each in agents for job_id in each.result()]
    assert sorted(found) == sorted(ids)


@pytest.mark.slow
def test_all_queues_of_one_notice_wake(private, queue):
    """One notice of the frontend returns several claims: waiters of each of their queues get a job at once, not
    only those of the last one."""
    server = private(workers=1)
    api, (frontend,) = Api(server.url), server.children("frontend")
    queues = [f"{queue}-{n}" for n in range(4)]
    for _ in range(5):
        ids = [api.submit(q) for q in queues]
        gone = [Raw(server).send(ask(q)) for q in queues]
        wait_until(lambda ids=ids: all(api.state(i) == "running" for i in ids), "all are handed out")
        waiting = [Raw(server).send(f"GET /v1/job?queue={q}&wait=6 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                   for q in queues]
        time.sleep(0.03)
        server.signal(signal.SIGSTOP, [frontend])
        for connection in gone:
            reset(connection)
        server.signal(signal.SIGCONT, [frontend])
        started = time.monotonic()
        answers = [connection.reply() for connection in waiting]
        took = time.monotonic() - started
        if all(a.status_code == 200 for a in answers):
            assert [a.json()["job_id"] for a in answers] == ids
            assert took < 2, "one has looked by itself"
            return
        # Else the machine was slow: claims counted as arrived before their connections closed.
    raise AssertionError("no round returned all claims")

"""Jobs that were handed out and did not arrive wait again; those that arrived never do."""

import random
import select
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, Raw, expect, expect_none
from stack import wait_until
from storage import storage_of

pytestmark = pytest.mark.waits


def ask(queue, agent=None):
    cookie = f"Cookie: agent_name={agent}\r\n" if agent else ""
    return f"GET /v1/job?queue={queue} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n".encode()


def reset(connection):
    """Closes with a reset, as the end of a process with unread data does."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.file.close()
    connection.socket.close()


def close(connection):
    """Closes as the end of a process does: with a reset, if there is unread data."""
    connection.file.close()
    connection.socket.close()


# Seconds after its answer for which the frontend waits for a reset (WATCH_MS of frontend/delivery.c), less some:
# a claim whose connection stays open for longer has arrived.
WATCHED = 0.2


def answered(connections):
    """Waits for their answers, which stay unread; a time before which none of them had come."""
    before = time.monotonic()
    while not (found := select.select([c.socket for c in connections], [], [], 0.005)[0]):
        before = time.monotonic()
    while len(found) < len(connections):
        found = select.select([c.socket for c in connections], [], [], 0.005)[0]
    return before


def insist(attempt, tries=20):
    """Repeats what must be done within WATCHED, until the machine is fast enough: until attempt() is true."""
    for _ in range(tries):
        if value := attempt():
            return value
    raise AssertionError(f"slower than {WATCHED} s in each of {tries} tries")


@pytest.mark.parametrize("leave", [close, reset])
def test_closed_before_the_answer_is_read(server, api, queue, leave):
    """The answer lies unread in the agent's socket when it ends: the job waits again, in its old place."""
    def attempt():
        name = f"{queue}-{time.monotonic_ns()}"
        ids = [api.submit(name) for _ in range(3)]
        connection = Raw(server).send(ask(name))
        before = answered([connection])
        leave(connection)
        return time.monotonic() - before < WATCHED and (name, ids)

    name, ids = insist(attempt)
    wait_until(lambda: api.state(ids[0]) == "waiting", "it waits again")
    assert [api.claimed(name) for _ in ids] == ids


@pytest.mark.parametrize("seconds", [0, 0.0005, 0.001, 0.002, 0.005, 0.02])
def test_closed_at_any_point(server, api, queue, seconds):
    """No job is lost, and none is left with an agent that is gone."""
    ids = {api.submit(queue) for _ in range(10)}
    late = 0  # counted as arrived, perhaps
    for _ in range(10):
        began = time.monotonic()
        connection = Raw(server).send(ask(queue))
        time.sleep(seconds * random.random() * 2)
        reset(connection)
        late += time.monotonic() - began > WATCHED
    found = set()

    def collect():
        response = api.claim(queue)
        if response.status_code == 200:
            job_id = response.json()["job_id"]
            assert job_id not in found
            found.add(job_id)
        return len(found) >= len(ids) - late

    wait_until(collect, "all jobs are handed out")
    assert late < len(ids) / 2 and found <= ids
    assert {api.state(job_id) for job_id in ids - found} <= {"running"}


def await_arrival(server, ids):
    """The server knows that their agents have them, so that none waits again."""
    storage = storage_of(server)
    wait_until(lambda: all(storage.has_arrived(job_id) for job_id in ids), "the claims are confirmed")


@pytest.mark.slow
def test_agents_that_close_after_reading(private, queue):
    """Orderly closes at once: their jobs have arrived, and none is handed out again."""
    server = private(frontends=2)
    api = Api(server.url)
    ids = sorted(api.submit(queue) for _ in range(60))

    def one(_):
        with Raw(server) as connection:
            return connection.send(ask(queue)).reply().json()["job_id"]

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, ids)) == ids
    await_arrival(server, ids)
    assert {api.state(job_id) for job_id in ids} == {"running"}
    expect_none(api.claim(queue))


def test_kept_connection_confirms(server, api, queue):
    """A quiet connection that stays open: no call tells that the job has arrived."""
    job_id = api.submit(queue)
    with Raw(server) as connection:
        assert connection.send(ask(queue)).reply().json()["job_id"] == job_id
        await_arrival(server, [job_id])
    assert api.state(job_id) == "running"
    expect_none(api.claim(queue))


def test_same_agent_many_jobs(api, queue):
    """An agent that asks again at once gets the next job."""
    cookie = f"agent_name={queue}"
    ids = [api.submit(queue) for _ in range(20)]
    assert [api.claimed(queue, cookie=cookie) for _ in ids] == ids
    expect_none(api.claim(queue, cookie=cookie))


def claim_and_kill(server, queue, agent=None):
    """A job whose frontend is killed between the claim and its confirmation."""
    def attempt():
        name = f"{queue}-{time.monotonic_ns()}"
        job_id = Api(server.url).submit(name)
        (frontend,) = server.children("frontend")
        connection = Raw(server).send(ask(name, agent))
        before = answered([connection])
        assert connection.socket.recv(1)
        server.signal(signal.SIGKILL, [frontend])
        in_time = time.monotonic() - before < WATCHED
        connection.socket.close()
        wait_until(lambda: frontend not in server.children("frontend") and server.is_complete(), "a new frontend")
        if not in_time and agent:
            Api(server.url).set_state(job_id, "complete")
        return in_time and (name, job_id)

    return insist(attempt)


@pytest.mark.slow
def test_claim_that_nobody_confirms(private, queue):
    """The frontend is killed between the claim and the confirmation."""
    server = private("--claim-timeout", 2, "--sweep-interval", 50)
    name, job_id = claim_and_kill(server, queue)
    api = Api(server.url)
    wait_until(lambda: api.state(job_id) == "waiting", "it waits again")
    assert api.claimed(name) == job_id


@pytest.mark.slow
def test_same_agent_gets_its_job_again(private, queue):
    """The same, but the agent asks again."""
    server = private("--claim-timeout", 600)
    name, job_id = claim_and_kill(server, queue, "a1")
    api = Api(server.url)
    time.sleep(1.6)  # a claim is open for a second before it counts as lost
    expect_none(api.claim(name, cookie="agent_name=a2"))
    expect_none(api.claim(name + "-other", cookie="agent_name=a1"))
    assert api.claimed(name, cookie="agent_name=a1") == job_id
    expect_none(api.claim(name, cookie="agent_name=a1"))


@pytest.mark.slow
def test_report_confirms(private, queue):
    """The frontend died after the agent got its job: the agent's posts confirm the claim, and so do its reads."""
    server = private()
    calls = [lambda api, job_id: api.post(f"/v1/result/{job_id}", {"device_info": {"a": 1}}),
             lambda api, job_id: api.get(f"/v1/result/{job_id}", headers={"Cookie": "agent_name=a1"})]
    for call in calls:
        name, job_id = claim_and_kill(server, queue, "a1")
        assert not storage_of(server).has_arrived(job_id)
        expect(call(Api(server.url), job_id), 200)
        await_arrival(server, [job_id])
        expect_none(Api(server.url).claim(name, cookie="agent_name=a1"))


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
    before = answered([connection])
    assert connection.socket.recv(1) == b"H"
    reset(connection)
    return time.monotonic() - before > WATCHED


def half_of_answer(server, queue):
    """The rest lies unread when the agent's process ends."""
    connection = Raw(server).send(ask(queue))
    before = answered([connection])
    assert len(connection.socket.recv(100)) == 100
    close(connection)
    return time.monotonic() - before > WATCHED


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
    def attempt():
        name = f"{queue}-{time.monotonic_ns()}"
        job_id = api.submit(name, test_data={"test_cmds": "x" * 2000})
        got = leave(server, name)
        return got is not True and (name, job_id, got)  # True: it was too slow

    name, job_id, got = insist(attempt)
    if got:
        assert got == job_id
        await_arrival(server, [job_id])
        assert api.state(job_id) == "running"
        expect_none(api.claim(name))
    else:
        # The server may hand the job to the dead connection first; then it comes back.
        answer = wait_until(lambda: (r := api.claim(name)).status_code == 200 and r, "it waits")
        assert answer.json()["job_id"] == job_id


@pytest.mark.slow
def test_frontends_are_killed_while_agents_claim(private, queue):
    """Each job comes to one agent, and to none twice."""
    server = private("--claim-timeout", 20, "--sweep-interval", 50, frontends=2)
    api = Api(server.url)
    ids = [api.submit(queue) for _ in range(80)]
    end = time.monotonic() + 90

    def until_answered(call):
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
            response = until_answered(lambda api: api.claim(queue, cookie=f"agent_name=a{number}"))
            if response.status_code == 200:
                job_id = response.json()["job_id"]
                got.append(job_id)
                states[job_id] = "got"
                until_answered(lambda api: api.post(f"/v1/result/{job_id}", {"job_state": "setup"}))
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
    only those of the last one. None of them looks by itself within the two seconds."""
    server = private(workers=1)
    api, (frontend,) = Api(server.url), server.children("frontend")
    queues = [f"{queue}-{n}" for n in range(4)]

    def attempt():
        ids = [api.submit(q) for q in queues]
        gone = [Raw(server).send(ask(q)) for q in queues]
        answered(gone)
        waiting = [Raw(server).send(f"GET /v1/job?queue={q}&wait=2 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                   for q in queues]
        time.sleep(0.03)
        server.signal(signal.SIGSTOP, [frontend])
        for connection in gone:
            reset(connection)
        server.signal(signal.SIGCONT, [frontend])
        answers = [connection.reply() for connection in waiting]
        if any(a.status_code != 200 for a in answers):  # the claims counted as arrived
            return False
        assert [a.json()["job_id"] for a in answers] == ids
        return True

    insist(attempt)

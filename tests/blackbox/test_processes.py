"""The server as a set of processes: roles, overload, deaths, broken connections, start and stop."""

import itertools
import signal
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from client import Api, Raw, expect, expect_none, new_id
from mongo import Mongod
from stack import BIN, Stack, cpu_seconds, running, wait_until

# Processes, sockets and signals are the same whatever store there is; tests of those that die with
# a store's work in hand run on both.
pytestmark = pytest.mark.stores("sqlite")

ROLES = ["frontend", "broker", "worker"]


def test_roles_are_processes(private):
    stack = private(frontends=2, workers=3, brokers=2)
    assert stack.pids("server") == [stack.process.pid]
    for role, n in [("frontend", 2), ("broker", 2), ("worker", 3)]:
        assert len(stack.children(role)) == n
        assert len(set(stack.pids(role)) - set(stack.forked(role))) == 1, "one master"
    assert stack.pids("webhook") == []


def test_url_line(private):
    """One line on standard output, once the server really serves."""
    stack = private()
    lines = stack.stdout().splitlines()
    assert len(lines) == 1 and stack.url in lines[0]
    expect(Api(stack.url).get("/v1/"), 200)


def test_only_the_frontends_listen(private):
    """No worker, broker or database port is open for the network."""
    stack = private()
    inodes = {}
    for table in ["tcp", "tcp6"]:
        for line in open(f"/proc/{stack.process.pid}/net/{table}").readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                inodes[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
    ports = set()
    for pid in stack.tree():
        links = subprocess.run(["find", f"/proc/{pid}/fd", "-type", "l", "-printf", "%l\\n"],
                               capture_output=True, text=True).stdout.split("\n")
        ports |= {inodes[link] for link in links if link in inodes}
    assert ports == {stack.port.number}


# Overload

@pytest.fixture
def busy(private):
    """A server whose workers stand still; a few requests may wait, each for a second."""
    stack = private("--queue-limit", 2, "--request-timeout", 1000, workers=1)
    expect(Api(stack.url).get(f"/v1/job/{new_id()}"), 204)
    workers = stack.children("worker")
    stack.freeze(workers)
    yield stack
    stack.thaw(workers)
    wait_until(lambda: Api(stack.url).get(f"/v1/job/{new_id()}").status_code == 204, "it serves again")


def timed(url):
    start = time.monotonic()
    response = requests.get(url, timeout=20)
    return response, time.monotonic() - start


@pytest.mark.alone
def test_full_queue_and_deadline(busy):
    """503 at once when the queue is full, 504 for requests that waited too long."""
    url = f"{busy.url}/v1/job/{new_id()}"
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(timed, [url] * 32))
    by_status = {s: [(r, t) for r, t in answers if r.status_code == s] for s in (503, 504)}
    assert len(by_status[503]) + len(by_status[504]) == 32
    assert len(by_status[503]) >= 16 and len(by_status[504]) >= 2
    for response, seconds in by_status[503]:
        assert response.headers["Retry-After"] in ("1", "2") and seconds < 1
        assert isinstance(response.json()["message"], str)
    for response, seconds in by_status[504]:
        assert 0.9 < seconds < 3
        assert isinstance(response.json()["message"], str)


@pytest.mark.alone
def test_frontends_answer_while_workers_are_busy(busy):
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(timed, f"{busy.url}/v1/job/{new_id()}") for _ in range(8)]
        time.sleep(0.1)
        for path, status in [("/v1/", 200), ("/v1/nope", 404), ("/v1/job/x/y/z", 404)] * 5:
            response, seconds = timed(busy.url + path)
            assert response.status_code == status and seconds < 0.5
        assert {f.result()[0].status_code for f in waiting} <= {503, 504}


def test_requests_that_waited_are_served(private):
    """A short halt delays answers, and loses none."""
    stack = private("--request-timeout", 20000, workers=2)
    workers = stack.children("worker")
    with ThreadPoolExecutor(20) as pool:
        stack.freeze(workers)
        waiting = [pool.submit(timed, f"{stack.url}/v1/job/{new_id()}") for _ in range(20)]
        time.sleep(0.5)
        stack.thaw(workers)
        assert {f.result()[0].status_code for f in waiting} == {204}


# Connections that break

def abort(server, data, hard):
    """Sends the bytes and closes; hard: with a reset, without reading what came."""
    with socket.create_connection(("127.0.0.1", server.port.number), 10) as connection:
        if hard:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            connection.sendall(data)
        except OSError:
            pass  # it was refused meanwhile


def exchanges(queue):
    json = f'{{"job_queue": "{queue}", "name": "{"n" * 200}"}}'.encode()
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n\r\n"
    return [
        head % (b"/v1/job", b"Content-Length: %d" % len(json)) + json,
        head % (b"/v1/job", b"Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(json), json),
        head % (b"/v1/job", b"Expect: 100-continue\r\nContent-Length: %d" % len(json)) + json,
        b"GET /v1/job?queue=%s-none HTTP/1.1\r\nHost: x\r\n\r\n" % queue.encode() * 3,
        head % (b"/v1/result/x", b"Content-Length: 17825792") + b"x" * 300,
        b"POST /v1/nope HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    ]


def test_connections_that_end_anywhere(server, api, queue):
    """Closed at every point of the exchange, softly and hard; no process dies of it."""
    cuts = [(data[:n], hard) for data in exchanges(queue) for n in range(0, len(data) + 1, 5)
            for hard in (False, True)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda cut: abort(server, *cut), cuts))
    assert len(cuts) > 500
    assert server.undisturbed <= set(server.tree())
    expect(api.get("/v1/"), 200)
    expect(api.get(f"/v1/job/{api.submit(queue)}"), 200)


def test_clients_that_leave_while_workers_are_busy(private, queue):
    """The reply comes after the client is gone."""
    stack = private(workers=1)
    workers = stack.children("worker")
    stack.freeze(workers)
    for data, hard in itertools.product(exchanges(queue), [False, True] * 10):
        abort(stack, data, hard)
    stack.thaw(workers)
    api = Api(stack.url)
    expect_none(api.get(f"/v1/job/{new_id()}"))
    assert stack.children("worker") == workers


def test_an_answer_that_nobody_reads(server, api, queue):
    """A client that stops reading a large answer blocks no other."""
    job_id = api.submit(queue)
    text = "x" * (8 * 2**20)
    expect(api.post(f"/v1/result/{job_id}", {"test_output": text}), 200)
    lazy = []
    for _ in range(4):
        lazy.append(Raw(server).send(f"GET /v1/result/{job_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
    assert api.get(f"/v1/result/{job_id}").json()["test_output"] == text
    for connection in lazy[:2]:
        assert connection.reply().json()["test_output"] == text
    for connection in lazy:
        connection.__exit__()


def test_many_idle_connections(server, api):
    idle = [Raw(server).send(b"GET /v1/ HT") for _ in range(200)]
    expect(api.get("/v1/"), 200)
    expect_none(api.get(f"/v1/job/{new_id()}"))
    for connection in idle:
        connection.send(b"TP/1.1\r\nHost: x\r\n\r\n")
    assert {connection.reply().status_code for connection in idle} == {200}
    for connection in idle:
        connection.__exit__()


# Deaths

def load(url, queue, over, broken):
    """Submits jobs until told to stop; returns those that were acknowledged. Each request has a
    connection of its own; `broken`: it may break."""
    acknowledged = []
    while not over.is_set():
        try:
            response = requests.post(f"{url}/v1/job", json={"job_queue": queue}, timeout=25)
        except requests.ConnectionError:
            assert broken
            continue
        acknowledged.append(expect(response, 200).json()["job_id"])
        time.sleep(0.01)  # all of them are claimed in the end
    return acknowledged


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_death_of_a_process(private, queue, role):
    """Under load: answers become slower, none is lost or doubled; another process takes over."""
    stack = private("--heartbeat", 100, frontends=2, workers=2, brokers=2)
    over = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(load, stack.url, queue, over, role == "frontend") for _ in range(4)]
        try:
            for _ in range(3):
                time.sleep(0.3)
                gone = stack.kill(role)
                wait_until(lambda: stack.is_complete() and gone not in stack.children(role),
                           f"a new {role}")
            time.sleep(0.5)
        finally:
            over.set()
        acknowledged = sum((c.result() for c in clients), [])
    api, found = Api(stack.url), []
    while (response := api.claim(queue)).status_code == 200:
        found.append(response.json()["job_id"])
    expect_none(response)
    assert len(found) == len(set(found)) and set(acknowledged) <= set(found)
    if role != "frontend":
        assert sorted(found) == sorted(acknowledged)


@pytest.mark.slow
def test_death_of_all_workers(private):
    stack = private("--heartbeat", 100)
    api = Api(stack.url)
    stack.signal(signal.SIGKILL, stack.children("worker"))
    expect_none(api.get(f"/v1/job/{new_id()}"))
    wait_until(stack.is_complete, "new workers")


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_death_of_a_master(private, role):
    """The launcher starts the whole role again."""
    stack = private("--heartbeat", 100)
    (master,) = set(stack.pids(role)) - set(stack.forked(role))
    stack.signal(signal.SIGKILL, [master])
    wait_until(stack.is_complete, f"a new {role}", 15)
    api = Api(stack.url)
    wait_until(lambda: reachable(api) and api.get(f"/v1/job/{new_id()}").status_code == 204, "it serves", 15)


@pytest.mark.slow
def test_clients_wait_while_the_frontends_are_started_again(private):
    """The listening socket outlives their master: nobody is refused."""
    stack = private()
    frontends = stack.pids("frontend")
    stack.signal(signal.SIGKILL, set(frontends) - set(stack.children("frontend")))
    wait_until(lambda: not running(frontends), "they are gone")
    expect(Api(stack.url).get("/v1/"), 200)
    wait_until(stack.is_complete, "new frontends")


@pytest.mark.stores("sqlite")
def test_a_socket_that_was_passed(store, tmp_path):
    """As systemd does: the server takes it, says its address, and leaves it as it was."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        url = "http://127.0.0.1:%d" % passed.getsockname()[1]
        script = 'exec 3<&"$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = ["bash", "-c", script, str(passed.fileno()), BIN / "testflinger-server"]
        process = subprocess.Popen(command, cwd=tmp_path, pass_fds=[passed.fileno()], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            assert url in process.stdout.readline()
            expect(Api(url).get(f"/v1/job/{new_id()}"), 204)
        finally:
            process.terminate()
            assert process.wait(20) == 0
        with socket.create_connection(passed.getsockname()):
            pass


def reachable(api):
    try:
        return api.get("/v1/").status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
def test_jobs_survive_the_death_of_everything(store_uri, queue):
    uri = store_uri()
    first = Stack(uri).start()
    uri = first.store
    try:
        ids = [Api(first.url).submit(queue) for _ in range(20)]
        found = [Api(first.url).claimed(queue) for _ in range(5)]
    finally:
        first.kill_all()
    with Stack(uri) as second:
        api = Api(second.url)
        assert {api.state(job_id) for job_id in found} == {"running"}
        assert found + [api.claimed(queue) for _ in range(15)] == ids
    first.port.release()


# The end

@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_end(store_uri, sig):
    """Every process ends at once when there is nothing in hand; the exit status is 0."""
    stack = Stack(store_uri(), frontends=2, workers=2, brokers=2).start()
    api = Api(stack.url)
    api.submit("q")
    tree = stack.tree()
    start = time.monotonic()
    stack.process.send_signal(sig)
    assert stack.process.wait(20) == 0
    assert time.monotonic() - start < 5
    assert not running(tree)
    stack.port.release()


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
def test_end_under_load(store_uri, queue):
    """What is in hand is answered; what was acknowledged is there at the next start."""
    stack = Stack(store_uri(), workers=2).start()
    over = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(load, stack.url, queue, over, True) for _ in range(4)]
        time.sleep(0.5)
        stack.process.send_signal(signal.SIGTERM)
        try:
            assert stack.process.wait(20) == 0
        finally:
            over.set()
        acknowledged = sum((c.result() for c in clients), [])
    assert acknowledged
    with Stack(stack.store) as second:
        api = Api(second.url)
        assert {api.state(job_id) for job_id in acknowledged} == {"waiting"}
    stack.port.release()


def test_end_with_workers_that_stand_still(store_uri):
    """The grace time is kept, whatever a child does."""
    stack = Stack(store_uri(), "--grace", 1).start()
    tree = stack.tree()
    stack.signal(signal.SIGSTOP, stack.children("worker"))
    stack.process.send_signal(signal.SIGTERM)
    stack.process.wait(10)
    wait_until(lambda: not running(tree), "every process is gone", 5)
    stack.port.release()


# The start

@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("role", ["server", "frontend", "broker", "worker"])
def test_help(store, role):
    done = subprocess.run([BIN / f"testflinger-{role}", "--help"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and "--log-format" in done.stdout and "TESTFLINGER_BUS" in done.stdout


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("options", [
    ["--listen", "nonsense"], ["--store", "foo:bar"], ["--workers", "many"], ["--workers", "-1"],
    ["--compat", "other"], ["--auth", "magic"], ["--log-format", "xml"], ["--nope"],
    ["--request-timeout", "0"], ["--store", "mongodb://127.0.0.1:1"], ["--listen", "127.0.0.1:99999"],
], ids=" ".join)
def test_wrong_settings(store, options, tmp_path):
    """One line that names the setting, and exit status 2."""
    done = subprocess.run([BIN / "testflinger-server", *options], cwd=tmp_path, capture_output=True,
                          text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert options[0].strip("-") in done.stderr and done.stdout == ""


def test_a_port_that_is_taken(server, store_uri):
    stack = Stack(store_uri())
    stack.port.release()
    stack.port = server.port
    done = subprocess.run(stack.command(), cwd=stack.folder, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and str(server.port.number) in done.stderr
    expect(Api(server.url).get("/v1/"), 200)


def test_settings_from_the_environment(store_uri, queue):
    """An option wins over its variable."""
    stack = Stack(None, env={
        "TESTFLINGER_STORE": store_uri().format(folder="."), "TESTFLINGER_COMPAT": "reference",
        "TESTFLINGER_LISTEN": "127.0.0.1:1"})
    with stack:
        api = Api(stack.url)
        expect(api.post("/v1/job", {"job_queue": queue, "option": "foo"}), 422)
        assert api.submit(queue) == api.claimed(queue)


@pytest.mark.stores("sqlite")
def test_default_store(store):
    """The default store: SQLite below the current directory."""
    with Stack(None) as stack:
        api = Api(stack.url)
        job_id = api.submit("q")
        assert any((stack.folder / "testflinger-data").iterdir())
        assert api.claimed("q") == job_id


@pytest.mark.stores("mongodb")
def test_variables_of_mongodb(mongod, store, queue):
    host, port = mongod.address.split(":")
    for env in [{"MONGODB_URI": mongod.uri(f"env_{queue}")},
                {"MONGODB_HOST": host, "MONGODB_PORT": port, "MONGODB_DATABASE": f"env_{queue}"}]:
        with Stack(None, env=env) as stack:
            job_id = Api(stack.url).submit(queue)
        assert mongod.client[f"env_{queue}"].jobs.count_documents({"job_id": job_id}) == 1


# The database

@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_database_away_and_back(store, queue):
    """503 with Retry-After quickly; normal service without a restart."""
    mongod = Mongod()
    try:
        # one worker: a second one might open the store only once it is away
        with Stack(mongod.uri("away"), "--store-timeout", 1000, workers=1) as stack:
            api = Api(stack.url)
            job_id = api.submit(queue)
            mongod.stop()
            requests_ = [("POST", "/v1/job", {"job_queue": queue}), ("GET", f"/v1/job/{job_id}", None),
                         ("GET", f"/v1/job?queue={queue}", None),
                         ("POST", f"/v1/result/{job_id}", {"job_state": "setup"})]
            for method, path, body in requests_:
                start = time.monotonic()
                response = expect(api.request(method, path, json=body), 503)
                assert response.headers["Retry-After"] in ("1", "2")
                assert time.monotonic() - start < 5
            expect(api.get("/v1/"), 200)
            expect(api.post("/v1/job", {}), 422)
            mongod.start()
            wait_until(lambda: api.get(f"/v1/job/{job_id}").status_code == 200, "it serves again")
            assert api.claimed(queue) == job_id
    finally:
        mongod.remove()


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_start_before_the_database(store, queue):
    """Processes may start in any order."""
    mongod = Mongod()
    uri = mongod.uri("late")
    mongod.stop()
    stack = Stack(uri, "--store-timeout", 1000)
    stack.launch()
    try:
        wait_until(stack.is_complete, "all are there")
        before = {pid: cpu_seconds(pid) for pid in stack.tree()}
        time.sleep(2.5)
        assert max(cpu_seconds(pid) - used for pid, used in before.items()) < 1, "they wait"
        mongod.start()
        stack.await_start()
        api = Api(stack.url)
        wait_until(lambda: api.post("/v1/job", {"job_queue": queue}).status_code == 200, "it serves")
        stack.stop()
    finally:
        if stack.process.poll() is None:
            stack.kill_all()
        mongod.remove()


@pytest.mark.stores("sqlite", "mongodb")
@pytest.mark.slow
def test_many_workers_on_one_store(store_uri, queue):
    """No request fails because another process writes."""
    with Stack(store_uri(), workers=4, frontends=2) as stack:
        def work(i):
            api = Api(stack.url)
            for _ in range(25):
                job_id = api.submit(f"{queue}-{i}")
                assert api.claimed(f"{queue}-{i}") == job_id
                api.set_state(job_id, "complete")
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))


@pytest.mark.stores("mongodb")
def test_no_file_of_the_driver(server):
    """The MongoDB driver's counters would stay in /dev/shm after kill -9, for the next process with that id."""
    pids = server.pids("worker")
    assert len(pids) > 1 and not [p for p in pids if Path(f"/dev/shm/mongoc-{p}").exists()]

"""The metrics port of each role: /metrics, /healthz and /readyz with the reason."""

import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from client import Api, expect, new_id
from stack import Port, Stack, wait_until

# The format, the ports and the counters are those of the processes; depths of queues come from the
# store.
pytestmark = pytest.mark.stores("sqlite")

ROLES = {"frontend": 0, "broker": 1, "worker": 2}  # added to the metrics port
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? ([0-9.e+-]+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


def samples(text):
    """{(name, frozenset of labels): value}; fails on a line that is no metric."""
    found, described = {}, set()
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name = line.split()[1:3]
            assert kind in ("HELP", "TYPE")
            described.add(name)
            continue
        match = LINE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        assert name in described or re.sub("_(bucket|sum|count)$", "", name) in described, line
        key = name, frozenset(LABEL.findall(labels or ""))
        assert key not in found, line
        found[key] = float(value)
    return found


class Monitored:
    """A server with metrics ports."""

    def __init__(self, private, *options, **counts):
        self.locked = Port(4)
        self.ports = self.locked.number
        self.stack = private("--metrics-port", self.ports, *options, **counts)
        self.api = Api(self.stack.url)
        for role in ROLES:  # the monitor of a role starts beside its children, HTTP may be up before
            wait_until(lambda: self.listens(role), f"{role} serves its metrics")

    def listens(self, role):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports + ROLES[role])) == 0

    def get(self, role, path):
        return requests.get(f"http://127.0.0.1:{self.ports + ROLES[role]}{path}", timeout=10)

    def value(self, role, name, **labels):
        found = samples(expect(self.get(role, "/metrics"), 200).text)
        return found.get((name, frozenset(labels.items())), 0)


@pytest.fixture
def monitored(private):
    return lambda *options, **counts: Monitored(private, *options, **counts)


@pytest.mark.stores("sqlite", "mongodb")
def test_metrics_of_each_role(monitored, queue):
    server = monitored()
    route = {"method": "POST", "route": "/v1/job"}
    jobs = [server.api.submit(queue) for _ in range(3)]
    expect(server.api.post("/v1/job", {}), 422)
    expect(server.api.get("/v1/nope"), 404)
    for role in ROLES:
        expect(server.get(role, "/healthz"), 200, {"status": "ok"})
        wait_until(lambda: server.get(role, "/readyz").status_code == 200, f"{role} is ready")
        assert server.get(role, "/metrics").headers["Content-Type"].startswith("text/plain; version=0.0.4")
        expect(server.get(role, "/nope"), 404)
    assert server.value("frontend", "testflinger_http_requests_total", status="200", **route) == 3
    assert server.value("frontend", "testflinger_http_requests_total", status="422", **route) == 1
    assert server.value("frontend", "testflinger_http_requests_total",
                        method="", route="none", status="404") == 1
    assert server.value("frontend", "testflinger_http_request_duration_seconds_count", **route) == 4
    assert server.value("frontend", "testflinger_http_request_duration_seconds_bucket", le="+Inf", **route) == 4
    assert server.value("broker", "testflinger_broker_events_total", event="requests") >= 4
    assert server.value("broker", "testflinger_broker_wait_seconds_count", service="api") >= 4
    wait_until(lambda: server.value("broker", "testflinger_broker_frontends") == 1, "a frontend")
    wait_until(lambda: server.value("broker", "testflinger_broker_workers", service="api") == 2, "workers")
    assert server.value("worker", "testflinger_worker_requests_total", **route) == 4
    assert server.value("worker", "testflinger_store_operation_seconds_count", operation="jobs_add") > 0
    assert server.value("worker", "testflinger_store_up") == 1
    assert server.value("worker", "testflinger_queue_waiting_jobs", queue=queue) == 3
    assert server.value("worker", "testflinger_queues_paused") == 0
    server.api.post(f"/v1/queues/{new_id()}/pause", {"reason": "r"})
    server.api.agent(new_id(), mode="OFFLINE", comment="c")
    assert server.value("worker", "testflinger_queues_paused") == 1
    assert server.value("worker", "testflinger_agents_held") == 1
    assert server.api.claimed(queue) == jobs[0]
    assert server.value("worker", "testflinger_queue_waiting_jobs", queue=queue) == 2
    assert 0 <= server.value("worker", "testflinger_queue_oldest_waiting_seconds", queue=queue) < 30


def test_requests_of_the_frontends_themselves(monitored, queue):
    """They have no path; samples() fails on two series of the same labels."""
    server = monitored()
    job = server.api.submit(queue)
    assert server.api.claimed(queue) == job
    expect(server.api.post(f"/v1/result/{job}/artifact", files={"file": ("a", b"x" * 100_000)}), 200)
    for name in ("OP_CLAIMS_SETTLE", "OP_ASK", "OP_FILE_PUT", "OP_FILE_COMMIT"):
        wait_until(lambda: server.value("worker", "testflinger_worker_requests_total",
                                        method="POST", route=name) > 0, name)


@pytest.mark.stores("sqlite", "mongodb")
def test_queues_with_the_most_jobs(monitored, queue):
    """The label has at most 50 values; what must be escaped in it is."""
    server = monitored()
    odd = f'{queue}"\\ü'
    for n in range(55):
        server.api.submit(f"{queue}-{n}")
    server.api.submit(odd)
    server.api.submit(odd)
    found = samples(server.get("worker", "/metrics").text)
    queues = {dict(labels)["queue"]: value for (name, labels), value in found.items()
              if name == "testflinger_queue_waiting_jobs"}
    assert len(queues) == 50 and max(queues.values()) == 2
    assert [q for q, n in queues.items() if n == 2] == [odd.replace("\\", "\\\\").replace('"', '\\"')]


@pytest.mark.stores("sqlite", "mongodb")
def test_jobs_and_reservations(monitored, queue):
    """Each job counts once, whatever is sent again; what is refused counts nowhere."""
    server = monitored()

    def counts(name=queue):
        return [server.value("worker", f"testflinger_{what}_total", queue=name) for what in ("jobs", "reservations")]

    server.api.submit(queue)
    server.api.submit(queue, reserve_data={"ssh_keys": ["lp:x"]})
    expect(server.api.post("/v1/job", {"job_queue": queue, "nope": 1, "job_priority": "x"}), 422)
    expect(server.api.post("/v1/job", {"job_queue": queue, "job_priority": 5}), 401)
    assert counts() == [2, 1]
    key = {"Idempotency-Key": new_id()}
    for _ in range(3):
        expect(server.api.post("/v1/job", {"job_queue": queue, "reserve_data": {}}, headers=key), 200)
    assert counts() == [3, 2]
    given = {"job_queue": queue, "job_id": new_id()}
    for _ in range(3):  # the same job waits
        expect(server.api.post("/v1/job", given), 200)
    expect(server.api.post("/v1/job", {**given, "tags": ["x"]}), 200)  # it gets other data
    assert counts() == [4, 2]
    expect(server.api.post(f"/v1/job/{given['job_id']}/action", {"action": "cancel"}), 200)
    expect(server.api.post("/v1/job", given), 200)  # another run
    assert counts() == [5, 2]
    odd = f'{queue}"\\ü'
    server.api.submit(odd)
    assert counts(odd.replace("\\", "\\\\").replace('"', '\\"')) == [1, 0]


def test_queues_without_end(monitored, queue):
    """Names of queues are the clients': only the first ones get series."""
    server = monitored("--metrics-queues", 3)
    for n in range(20):
        server.api.submit(f"{queue}-{n % 10}")
    server.api.submit("other")
    found = {dict(labels)["queue"]: value for (name, labels), value
             in samples(server.get("worker", "/metrics").text).items() if name == "testflinger_jobs_total"}
    assert found == {f"{queue}-0": 2, f"{queue}-1": 2, f"{queue}-2": 2, "other": 15}


@pytest.mark.slow
def test_a_repeat_counts_once(monitored, queue):
    """A worker dies with requests in hand: they run again elsewhere."""
    server = monitored(workers=2)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(server.api.submit, queue) for _ in range(300)]
        for _ in range(3):
            time.sleep(0.1)
            server.stack.kill("worker")
        assert len({job.result() for job in jobs}) == 300
    lost = 300 - server.value("worker", "testflinger_jobs_total", queue=queue)
    assert 0 <= lost <= 3 * 64  # a worker may die between the commit of a bundle and its count, never the other way


def test_requests_as_dashboards_for_flask_read_them(monitored, queue):
    server = monitored()
    server.api.submit(queue)
    expect(server.api.post("/v1/job", {}), 422)
    expect(server.api.get(f"/v1/job/{new_id()}"), 204)
    expect(server.api.request("HEAD", f"/v1/job/{new_id()}"), 204)
    expect(server.api.get("/v1/nope"), 404)
    expect(server.api.request("OPTIONS", "/v1/job"), 200)
    expect(server.api.request("PATCH", "/v1/job"), 405)
    get = samples(server.get("frontend", "/metrics").text).get

    def total(method, status):
        return get(("flask_http_request_total", frozenset({"method": method, "status": status}.items())))

    def timed(endpoint, method, status, part="count", **more):
        labels = {"endpoint": endpoint, "method": method, "status": status, **more}
        return get((f"flask_http_request_duration_seconds_{part}", frozenset(labels.items())))

    assert (total("POST", "200"), total("POST", "422"), total("GET", "204")) == (1, 1, 1)
    assert (total("HEAD", "204"), total("OPTIONS", "200"), total("other", "405"), total("GET", "404")) == (1, 1, 1, 1)
    assert (timed("v1.job_post", "POST", "200"), timed("v1.job_post", "POST", "422")) == (1, 1)
    assert timed("v1.job_get_id", "GET", "204") == 2 and timed("None", "GET", "404") == 1
    assert timed("v1.job_post", "POST", "200", "bucket", le="10.0") == 1
    assert timed("v1.job_post", "POST", "200", "bucket", le="+Inf") == 1
    assert 0 < timed("v1.job_post", "POST", "200", "sum") < 10


def test_the_histogram_of_flask_may_be_off(monitored, queue):
    server = monitored("--metrics-flask", "no")
    server.api.submit(queue)
    found = samples(server.get("frontend", "/metrics").text)
    assert not [name for name, _ in found if name.startswith("flask_http_request_duration_seconds")]
    assert server.value("frontend", "flask_http_request_total", method="POST", status="200") == 1


def process_ids(server, role):
    """The master of a role and its children."""
    children = server.stack.forked(role)
    return [int(Path(f"/proc/{children[0]}/stat").read_text().rsplit(")", 1)[1].split()[1]), *children]


def test_processes_of_each_role(monitored, queue):
    server = monitored(workers=3)
    started = time.time()
    for role in ROLES:
        found = {name: value for (name, _), value in samples(server.get(role, "/metrics").text).items()}
        pids = process_ids(server, role)
        resident = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf("SC_PAGESIZE")
        assert 0.5 * resident < found["process_resident_memory_bytes"] < 2 * resident + (64 << 20)
        assert found["process_virtual_memory_bytes"] >= found["process_resident_memory_bytes"]
        most = max(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
        assert 0.5 * most <= found["process_open_fds"] <= 2 * most + 20 < found["process_max_fds"]
        assert abs(found["process_start_time_seconds"] - started) < 30
        assert 0 <= found["process_cpu_seconds_total"] < 60
    (build,) = [dict(labels) for (name, labels) in samples(server.get("worker", "/metrics").text)
                if name == "testflinger_build_info"]
    version = expect(server.api.get("/v1/"), 200).text.split()[-1]
    assert version.endswith(build["version"]) and build["compiler"]


@pytest.mark.slow
def test_cpu_time_outlives_a_child(monitored, queue):
    server = monitored(workers=1)
    for _ in range(300):
        server.api.submit(queue)
    seen = [server.value("worker", "process_cpu_seconds_total")]
    for _ in range(3):
        server.stack.kill("worker")
        wait_until(lambda: server.stack.children("worker"), "a worker again")
        seen.append(server.value("worker", "process_cpu_seconds_total"))
    assert seen == sorted(seen) and seen[0] > 0


@pytest.mark.slow
def test_counters_outlive_a_child(monitored):
    server = monitored(workers=1)
    for _ in range(5):
        server.api.get(f"/v1/job/{new_id()}")
    labels = {"method": "GET", "route": "/v1/job/<job_id>"}
    before = server.value("worker", "testflinger_worker_requests_total", **labels)
    assert before == 5
    server.stack.kill("worker")
    server.api.get(f"/v1/job/{new_id()}")
    assert server.value("worker", "testflinger_worker_requests_total", **labels) == 6
    assert server.value("worker", "testflinger_process_restarts_total") == 1


@pytest.mark.slow
def test_why_a_role_is_not_ready(monitored):
    server = monitored(workers=1)
    server.stack.freeze(brokers := server.stack.children("broker"))
    for role, reason in [("frontend", "no broker"), ("worker", "no broker")]:
        wait_until(lambda: server.get(role, "/readyz").status_code == 503, f"{role} is not ready")
        response = server.get(role, "/readyz")
        assert response.json() == {"status": "not ready", "reason": reason}
        assert response.headers["Retry-After"] == "1"
        expect(server.get(role, "/healthz"), 200)
    server.stack.thaw(brokers)
    for role in ROLES:
        wait_until(lambda: server.get(role, "/readyz").status_code == 200, f"{role} is ready again")
    workers = server.stack.children("worker")
    server.stack.freeze(workers)
    wait_until(lambda: server.get("broker", "/readyz").status_code == 503, "no worker")
    assert server.get("broker", "/readyz").json()["reason"] == "no worker"
    server.stack.thaw(workers)
    wait_until(lambda: server.get("broker", "/readyz").status_code == 200, "a worker again")


@pytest.mark.slow
@pytest.mark.stores("sqlite")
def test_a_metrics_port_that_is_taken(store):
    """The server serves; the monitor is tried again, and the log says why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with Stack("sqlite:{folder}/data.db", "--metrics-port", taken.getsockname()[1]) as stack:
            stack.undisturbed = None
            expect(Api(stack.url).get("/readyz"), 200)
            wait_until(lambda: stack.log_contains("--metrics-port"), "the log tells")


@pytest.mark.slow
@pytest.mark.stores("sqlite")
def test_a_metrics_address_that_is_wrong(store):
    stack = Stack("sqlite:{folder}/data.db", "--metrics-port", 9090, "--metrics-host", "no.such.host.invalid")
    stack.launch()
    try:
        assert stack.process.wait(20) == 2
        assert stack.log_contains("--metrics-host")
    finally:
        if stack.process.poll() is None:
            stack.kill_all()
        stack.port.release()

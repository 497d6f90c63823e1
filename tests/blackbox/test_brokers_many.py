"""Several brokers: all living ones share the load, a dead one costs no request, a new one is used."""

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from client import Api, expect, expect_none, new_id
from stack import BIN, FAULTS, Port, descendants, running, wait_until
from test_bus_key import make_key
from test_metrics import monitored, samples  # noqa: F401 (monitored is a fixture)

pytestmark = [pytest.mark.waits, pytest.mark.stores("sqlite")]


@contextmanager
def load(url, clients=4):
    """Requests meanwhile, each of which must succeed."""
    over, counts = threading.Event(), []

    def work():
        api, n = Api(url), 0
        while not over.wait(0.005):  # others use the processors, too
            expect_none(api.get(f"/v1/job/{new_id()}"))
            n += 1
        return n

    with ThreadPoolExecutor(clients) as pool:
        workers = [pool.submit(work) for _ in range(clients)]
        try:
            yield
        finally:
            over.set()
        counts += [w.result() for w in workers]
    assert min(counts) > 0


def sent(read):
    """Requests that went to each broker so far, by its number."""
    found = samples(read().text)
    return {dict(labels)["broker"]: n for (name, labels), n in found.items()
            if name == "testflinger_bus_requests_total"}


def grows(read, broker):
    before = sent(read).get(broker, 0)
    wait_until(lambda: sent(read).get(broker, 0) > before, f"broker {broker} gets requests")


@pytest.mark.slow
def test_death_and_return_of_a_broker(monitored):  # noqa: F811
    server = monitored(brokers=2)
    def read():
        return server.get("frontend", "/metrics")

    with load(server.stack.url):
        grows(read, "0"), grows(read, "1")
        gone = server.stack.kill("broker")
        wait_until(lambda: gone not in server.stack.children("broker"), "it is dead")
        wait_until(server.stack.is_complete, "another is started")
        wait_until(lambda: server.value("frontend", "testflinger_bus_brokers") == 2, "it is known")
        grows(read, "0"), grows(read, "1")
    counts = sent(read)
    assert min(counts.values()) > sum(counts.values()) * 0.1, counts
    assert server.value("frontend", "testflinger_bus_malformed_total") == 0


@pytest.mark.slow
def test_a_broker_that_stands_still(monitored):  # noqa: F811
    """Its silence is noticed, its requests go to the other broker, and it is used again once it runs."""
    server = monitored("--request-timeout", 20000, brokers=2)
    stopped = server.stack.children("broker")[:1]
    with load(server.stack.url):
        server.stack.freeze(stopped)
        wait_until(lambda: server.value("frontend", "testflinger_bus_brokers") == 1, "it is missed")
        wait_until(lambda: server.value("frontend", "testflinger_bus_retries_total") > 0, "sent again")
        server.stack.thaw(stopped)
        wait_until(lambda: server.value("frontend", "testflinger_bus_brokers") == 2, "it is back")


@pytest.mark.slow
def test_requests_of_one_key_meet(monitored, queue):  # noqa: F811
    """Claims of a queue go to the same broker, whichever frontend has them."""
    server = monitored(brokers=2, frontends=2)

    def meet():
        before = sent(lambda: server.get("frontend", "/metrics"))
        for _ in range(20):
            expect_none(requests.get(f"{server.stack.url}/v1/job?queue={queue}", timeout=10))
        after = sent(lambda: server.get("frontend", "/metrics"))
        return [n - before.get(b, 0) >= 20 for b, n in after.items()].count(True) == 1

    # A frontend that has just begun may know one broker only.
    wait_until(meet, "20 claims of a queue go to one broker")


# A name of several addresses


class Named:
    """The roles one by one on a bus whose host is a name; a file says which addresses it has."""

    NAME = "brokers.test"

    def __init__(self, folder, bus):
        self.folder, self.bus, self.port, self.monitors = folder, bus, Port(), Port(4)
        self.ports = self.monitors.number
        self.hosts = folder / "hosts"
        self.env = {**os.environ, "TESTFLINGER_BUS_KEY": make_key()}
        self.running = []
        self.api = Api(f"http://127.0.0.1:{self.port.number}")

    def resolve(self, *addresses):
        """Written in place: the file is mounted."""
        with open(self.hosts, "r+" if self.hosts.exists() else "w") as file:
            file.truncate(0)
            file.write("127.0.0.1 localhost\n" + "".join(f"{a} {self.NAME}\n" for a in addresses))

    def _run(self, role, *options):
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', self.hosts,
                 BIN / f"testflinger-{role}", "--heartbeat", "200", *map(str, options)], env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.running.append(process)
        return process

    def broker(self, address):
        return self._run("broker", "--bus", f"tcp://{address}:{self.bus}")

    def peers(self):
        bus = f"tcp://{self.NAME}:{self.bus}"
        self._run("worker", "--bus", bus, "--store", f"sqlite:{self.folder}/data.db",
                  "--auth", "open", "--metrics-port", self.ports + 1)
        self._run("frontend", "--bus", bus, "--listen", f"127.0.0.1:{self.port.number}",
                  "--metrics-port", self.ports)

    def metrics(self, role="frontend"):
        port = self.ports + (role == "worker")
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)

    def brokers(self, role):
        try:
            return samples(self.metrics(role).text).get(("testflinger_bus_brokers", frozenset()), 0)
        except requests.ConnectionError:
            return None

    def await_brokers(self, n):
        """Both sides know so many; the worker has a process for logins, too."""
        wait_until(lambda: (self.brokers("frontend"), self.brokers("worker")) == (n, 2 * n),
                   f"{n} brokers", 15)

    def kill(self, process):
        self.running.remove(process)
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def log(self):
        return (self.folder / "log").read_text()

    def close(self):
        for process in self.running:
            process.terminate()
        left = [p for r in self.running for p in descendants(r.pid)]
        statuses = [process.wait(20) for process in self.running]
        self.port.release()
        assert not running(left) and set(statuses) <= {0}
        assert not FAULTS.search(self.log()), self.log()


@pytest.fixture
def named(tmp_path):
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("a mount namespace takes root")
    bus = Port(2)
    named = Named(tmp_path, bus.number)
    yield named
    named.close()
    bus.release()


@pytest.mark.slow
def test_a_name_of_several_addresses(named):
    """Brokers come and go with the addresses of the name, as pods of a headless Service do."""
    first = named.broker("127.0.0.2")
    named.resolve("127.0.0.2")
    named.peers()
    named.await_brokers(1)
    named.broker("127.0.0.3")
    named.resolve("127.0.0.3", "127.0.0.2")
    named.await_brokers(2)
    with load(named.api.url):
        grows(named.metrics, "0"), grows(named.metrics, "1")
        named.kill(first)
        named.await_brokers(1)
        named.broker("127.0.0.4")
        named.resolve("127.0.0.3", "127.0.0.4")
        named.await_brokers(2)
        wait_until(lambda: named.log().count("127.0.0.2:") >= 2 and "is gone" in named.log(), "it is told")
        time.sleep(0.2)
        grows(named.metrics, "0"), grows(named.metrics, "1")


@pytest.mark.slow
def test_a_name_that_is_not_there_yet(named):
    named.resolve()
    named.peers()
    wait_until(lambda: named.log().count("cannot resolve the bus's name") >= 3, "the log tells", 15)
    assert named.log().count("cannot resolve the bus's name") == 3  # once a process
    named.broker("127.0.0.2")
    named.resolve("127.0.0.2")
    named.await_brokers(1)
    expect(named.api.get("/readyz"), 200)

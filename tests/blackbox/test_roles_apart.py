"""The roles started one by one, as on several machines, on a bus over TCP."""

import contextlib
import itertools
import subprocess

import pytest
import requests

from client import Api, expect
from stack import BIN, FAULTS, Port, descendants, running, wait_until

# In which order roles find each other on the bus is no matter of the store.
pytestmark = [pytest.mark.waits, pytest.mark.stores("sqlite")]

ROLES = ("frontend", "broker", "worker")


class Roles:
    """Each role's master with its own options; its log is a file in `folder`."""

    def __init__(self, folder, bus, store):
        self.folder, self.port, self.running = folder, Port(), {}
        self.api = Api(f"http://127.0.0.1:{self.port.number}")
        common = ["--bus", f"tcp://127.0.0.1:{bus}", "--heartbeat", "100"]
        self.options = {
            "frontend": [*common, "--listen", f"127.0.0.1:{self.port.number}"],
            "broker": common,
            "worker": [*common, "--store", store.format(folder=folder), "--processes", "2"],
        }

    def start(self, role):
        with open(self.folder / role, "ab") as log:
            self.running[role] = subprocess.Popen(
                [BIN / f"testflinger-{role}", *self.options[role]], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.folder)

    def stop(self, role):
        process = self.running.pop(role)
        tree = descendants(process.pid)
        process.terminate()
        assert process.wait(20) == 0
        assert not running(tree)

    def answer(self, path):
        try:
            return self.api.get(path).status_code
        except requests.ConnectionError:
            return None

    def close(self):
        with contextlib.ExitStack() as rest:  # in reverse, whichever fails
            rest.callback(self.port.release)
            for role in ("broker", "worker", "frontend"):  # else it waits for a broker to come back
                if role in self.running:
                    rest.callback(self.stop, role)
        for role in ROLES:
            log = self.folder / role
            assert not (log.exists() and FAULTS.search(log.read_text())), log.read_text()


@pytest.fixture
def roles(tmp_path, store_uri):
    bus = Port(2)
    roles = Roles(tmp_path, bus.number, store_uri())
    yield roles
    roles.close()
    bus.release()


@pytest.mark.parametrize("order", list(itertools.permutations(ROLES)), ids="-".join)
def test_any_order(roles, queue, order):
    for role in order:
        roles.start(role)
    wait_until(lambda: roles.answer("/readyz") == 200, "it is ready")
    assert roles.api.submit(queue) == roles.api.claimed(queue)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_one_is_started_again(roles, queue, role):
    for each in ROLES:
        roles.start(each)
    wait_until(lambda: roles.answer("/readyz") == 200, "it is ready")
    job_id = roles.api.submit(queue)
    roles.stop(role)
    roles.start(role)
    wait_until(lambda: roles.answer("/readyz") == 200, "it is ready again")
    assert roles.api.claimed(queue) == job_id
    expect(roles.api.get(f"/v1/result/{job_id}"), 200)


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("program", ["testflinger-broker", "testflinger-server"])
def test_a_bus_for_everyone_is_refused(store, program, tmp_path):
    done = subprocess.run([BIN / program, "--bus", "tcp://0.0.0.0:7000"], cwd=tmp_path, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=10)
    assert done.returncode == 2 and "--bus-insecure" in done.stderr and done.stdout == ""

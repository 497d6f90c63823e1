"""Two releases on one bus (second_release.py). Roles of both run side by side, as in each rolling upgrade."""

import contextlib
import subprocess
import threading
import time

import pytest
import requests

from client import Api, expect, new_id
from second_release import ADDED, REMOVED, ROLES, second_release
from stack import BIN, FAULTS, SANITIZED, Port, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # the second release is built
    # What runs of a mix is decided before a store is asked.
    pytest.mark.stores("sqlite"),
    pytest.mark.skipif(SANITIZED, reason="the second release is built once, in the release run"),
]


@pytest.fixture(scope="module")
def second():
    return second_release()


class Mix:
    """Masters of either release by name, on one bus, one store and one port for HTTP."""

    def __init__(self, folder, bus, store, binaries):
        self.folder, self.port, self.running, self.binaries = folder, Port(), {}, binaries
        self.api = Api(f"http://127.0.0.1:{self.port.number}")
        common = ["--bus", f"tcp://127.0.0.1:{bus}", "--heartbeat", "100"]
        self.options = {
            "frontend": [*common, "--listen", f"127.0.0.1:{self.port.number}", "--request-timeout",
                         "15000"],
            "broker": common,
            "worker": [*common, "--store", store.format(folder=folder), "--processes", "2"],
        }

    def start(self, release, role):
        with open(self.folder / f"{release}-{role}", "ab") as log:
            self.running[release, role] = subprocess.Popen(
                [self.binaries[release] / f"testflinger-{role}", *self.options[role]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def stop(self, release, role):
        process = self.running.pop((release, role))
        process.terminate()
        assert process.wait(20) == 0

    def is_ready(self):
        with contextlib.suppress(requests.ConnectionError):
            return self.api.get("/readyz").status_code == 200

    def await_ready(self):
        wait_until(self.is_ready, "it is ready")

    def log(self, release, role):
        return (self.folder / f"{release}-{role}").read_text()

    def close(self):
        with contextlib.ExitStack() as rest:
            rest.callback(self.port.release)
            for release, role in sorted(self.running, key=lambda key: ROLES.index(key[1])):
                rest.callback(self.stop, release, role)
        for log in self.folder.glob("*-*"):
            assert not FAULTS.search(log.read_text(errors="replace")), log.read_text()


@pytest.fixture
def mix(tmp_path, store_uri, second):
    bus = Port(2)
    mix = Mix(tmp_path, bus.number, store_uri(), {"first": BIN, "second": second})
    yield mix
    mix.close()
    bus.release()


class Load:
    """An agent and its submitter: each job is submitted, claimed, written to and read back. What is
    not answered is asked again, as clients do."""

    def __init__(self, url, queue):
        self.api, self.queue, self.jobs, self.faults = Api(url), queue, 0, []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def ask(self, method, path, allowed, **options):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(requests.ConnectionError):
                answer = self.api.request(method, path, **options)
                if answer.status_code in allowed:
                    return answer
                if answer.status_code not in (204, 502, 503, 504):  # 204: a claim whose answer was lost is open
                    raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
            time.sleep(0.05)
        raise AssertionError(f"{method} {path}: no answer")

    def job(self):
        job, agent = new_id(), {"Cookie": "agent_name=a1"}
        self.ask("POST", "/v1/job", (200,), json={"job_queue": self.queue, "job_id": job})
        claimed = self.ask("GET", f"/v1/job?queue={self.queue}", (200,), headers=agent).json()
        assert claimed["job_id"] == job, claimed
        self.ask("POST", f"/v1/result/{job}/output", (200,), data=f"line of {job}\n",
                 headers={"Content-Type": "text/plain", **agent})
        self.ask("POST", f"/v1/result/{job}", (200,), headers=agent,
                 json={"status": {"test": 0}, "job_state": "complete"})
        result = self.ask("GET", f"/v1/result/{job}", (200,)).json()
        assert result == {"test_status": 0, "job_state": "complete"}, result
        output = self.ask("GET", f"/v1/result/{job}/output", (200,)).text
        assert output == f"line of {job}\n", output
        self.jobs += 1

    def run(self):
        try:
            while not self.ended.wait(0.02):  # others use the processors, too
                self.job()
        except BaseException as e:
            self.faults.append(e)

    def goes_on(self):
        """Some jobs more."""
        before = self.jobs
        wait_until(lambda: self.faults or self.jobs >= before + 10, "jobs run", 30)
        assert not self.faults, self.faults

    def end(self):
        self.ended.set()
        self.thread.join(120)
        assert not self.thread.is_alive() and not self.faults, self.faults


ORDER = ("worker", "broker", "frontend")


@pytest.mark.parametrize("old, new, order", [("first", "second", ORDER), ("second", "first", ORDER[::-1])],
                         ids=["upgrade", "back"])
def test_roles_are_rolled(mix, queue, old, new, order):
    """No request is lost, doubled or mistaken for another operation while roles change one by one."""
    for role in ROLES:
        mix.start(old, role)
    mix.await_ready()
    load = Load(mix.api.url, queue)
    try:
        load.goes_on()
        for role in order:
            if role == "worker":  # both for a while
                mix.start(new, role)
                load.goes_on()
                mix.stop(old, role)
            else:
                mix.stop(old, role)
                mix.start(new, role)
            load.goes_on()
    finally:
        load.end()


def test_what_only_one_release_knows(mix):
    """It goes to the workers that know it; where none does, it ends with 503 and the broker says why."""
    for role in ROLES:
        mix.start("second" if role == "frontend" else "first", role)
    mix.await_ready()
    assert expect(mix.api.get(ADDED), 503).headers["Retry-After"] == "1"
    assert "no worker knows operation 200" in mix.log("first", "broker")
    expect(mix.api.get(REMOVED), 404)  # the frontend's release has it no more
    mix.start("second", "worker")
    wait_until(lambda: mix.api.get(ADDED).status_code == 200, "the new worker serves it")
    for _ in range(50):
        expect(mix.api.get(ADDED), 200)
    mix.stop("second", "frontend")
    mix.start("first", "frontend")
    mix.await_ready()
    for _ in range(50):
        expect(mix.api.get(REMOVED), 200)
    expect(mix.api.get(ADDED), 404)
    mix.stop("first", "worker")
    assert expect(mix.api.get(REMOVED), 503).headers["Retry-After"] == "1"
    mix.await_ready()  # the others go on

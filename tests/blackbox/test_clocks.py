"""Machines whose clocks are a minute apart, and clocks that are set while the server runs: nothing is
handed out twice, ends before its time or comes late."""

import itertools
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import auth
from client import Api, expect, expect_none, new_id
from receiver import Receiver
from stack import BIN, SANITIZED, Stack, descendants, wait_until

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
# Times that are short beside the differences of the clocks, and long beside what calls take.
LEASE = 6
SETTINGS = {"SWEEP_INTERVAL": 50, "JOB_LEASE": LEASE, "AGENT_NAMES": "shared", "EXPIRE_JOBS": 10,
            "WEBHOOK_BACKOFF": 300, "WEBHOOK_PRIVATE": "allow"}
SKEWS = ("+60s", "-60s")
CLAIMS, AGENTS = 60, 4

pytestmark = [
    pytest.mark.waits,
    pytest.mark.slow,
    pytest.mark.skipif(SANITIZED, reason="libfaketime must be loaded first, and so must AddressSanitizer"),
    pytest.mark.skipif(not FAKETIME.exists(), reason="Debian's faketime is not installed"),
]


def settings(**others):
    """As variables, which every role takes."""
    return auth.ENV | {f"TESTFLINGER_{name}": str(value) for name, value in (SETTINGS | others).items()}


def faked(**variables):
    """The environment of processes with another clock of the day; what counts durations stays."""
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
            **variables}


class SkewedStack(Stack):
    """Beside its own workers there are others, as on two further machines."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.masters = []

    def await_start(self):
        super().await_start()
        for skew in SKEWS:
            self._master("worker", skew)
            self._master("webhook", skew)
        wait_until(lambda: all(len(descendants(m.pid)) > 1 for m in self.masters), "the further workers run")
        return self

    def _master(self, role, skew):
        command = [BIN / f"testflinger-{role}", "--bus", self.folder / "bus", "--store", self.store, "--processes", 1,
                   "--log-format", "json"]
        with open(self.folder / "stderr", "ab") as log:
            self.masters.append(subprocess.Popen([str(x) for x in command],
                                                 env={**os.environ, **self.env, **faked(FAKETIME=skew)},
                                                 cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def end_masters(self):
        """Returns their exit codes."""
        for master in self.masters:
            master.terminate()
        return [m.wait(20) for m in self.masters]

    def __exit__(self, kind, *rest):
        codes = self.end_masters()
        super().__exit__(kind, *rest)
        assert kind or not any(codes), codes


class SteppedStack(Stack):
    """All its processes have a clock that the test sets."""

    def __init__(self, *args, env=None, **kwargs):
        super().__init__(*args, env=env, **kwargs)
        self.clock = self.folder / "clock"
        self.step(0)
        self.env = {**self.env, **faked(FAKETIME_TIMESTAMP_FILE=str(self.clock), FAKETIME_NO_CACHE="1")}

    def step(self, seconds):
        """Sets the clock to this distance from the true one."""
        new = self.folder / "clock.new"
        new.write_text(f"{seconds:+d}s\n")
        new.rename(self.clock)


@pytest.fixture(scope="module")
def skewed(store_uri):
    with SkewedStack(store_uri(), env=settings(), workers=1, webhooks=1) as stack:
        yield stack


@pytest.fixture
def stepped(store_uri):
    with SteppedStack(store_uri(), env=settings(EXPIRE_JOBS=600, EXPIRE_KEYS=600), webhooks=1) as stack:
        yield stack


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as process:
        yield process


def claim_all(url, queue):
    """The ids that agents get until nothing is left for a while; each agent comes once."""
    def run(first):
        api, got, quiet = Api(url), [], time.monotonic()
        for number in itertools.count(first, AGENTS):
            response = api.claim(queue, cookie=f"agent_name=agent-{number}")
            if response.status_code == 200:
                quiet = time.monotonic()
                got.append(response.json()["job_id"])
            elif time.monotonic() - quiet > 2:
                return got
            else:
                expect_none(response)
                time.sleep(0.02)

    with ThreadPoolExecutor(AGENTS) as pool:
        return sum(pool.map(run, range(AGENTS)), [])


def post_event(api, url, job):
    return api.post(f"/v1/job/{job}/events",
                    {"agent_id": "a", "job_queue": "q", "job_status_webhook": url,
                     "events": [{"event_name": "e", "timestamp": "2024-05-03T19:11:33+00:00", "detail": ""}]})


def keep_alive(api, job_id, seconds):
    """The agent speaks of its job for so long; it does not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        expect(api.post(f"/v1/result/{job_id}/output", None, data="x", headers={"Content-Type": "text/plain"}), 200)
        found = api.get(f"/v1/result/{job_id}").json()
        assert found["job_state"] == "test", found
        time.sleep(0.2)


def test_skewed_claims(skewed, queue):
    """Each job is handed out once, whoever's clock opens the claim and whoever's sweep looks at it."""
    api = Api(skewed.url)
    ids = [api.submit(queue) for _ in range(CLAIMS)]
    assert sorted(claim_all(skewed.url, queue)) == sorted(ids)


def test_skewed_leases(skewed, queue):
    """A job whose agent speaks of it goes on; one whose agent is gone ends on time."""
    api = Api(skewed.url)
    spoken, silent = api.submit(queue), api.submit(queue)
    for job_id in (spoken, silent):
        assert api.claimed(queue, cookie="agent_name=a1") == job_id
        api.set_state(job_id, "test")
    keep_alive(api, spoken, LEASE + 3)
    wait_until(lambda: api.state(silent) == "cancelled", "the job of the silent agent ends")


def test_skewed_expiry(skewed, queue):
    """A job that is over stays for its time, and goes then."""
    api = Api(skewed.url)
    job_id = api.submit(queue)
    assert api.claimed(queue) == job_id
    api.set_state(job_id, "complete")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert api.state(job_id) == "complete"
        time.sleep(0.2)
    wait_until(lambda: api.get(f"/v1/result/{job_id}").status_code == 204, "it expires")


def test_skewed_tokens(skewed):
    """A token of one machine is good on all of them at once."""
    api, who = Api(skewed.url), auth.Admin(skewed).create("clock", "a secret of clocks", "admin")
    for _ in range(6):
        headers = auth.bearer(auth.login(api, who)["access_token"])
        for _ in range(9):
            expect(api.get("/v1/client-permissions", headers=headers), 200)


def test_skewed_webhooks(skewed, receiver):
    """Events are delivered once; a retry waits for its pause and no longer."""
    api = Api(skewed.url)
    jobs = [new_id() for _ in range(12)]
    for n, job in enumerate(jobs):
        post_event(api, f"{receiver.url}/{'sleep/300' if n % 6 else 'fails/1'}/{job}", job)
    for n, job in enumerate(jobs):
        receiver.wait_for(1 if n % 6 else 2, job)
    time.sleep(2)
    assert [len(receiver.requests(job)) for job in jobs] == [2, 1, 1, 1, 1, 1] * 2


@pytest.mark.parametrize("step", [3600, -3600])
def test_step(stepped, queue, receiver, step):
    """The clock of all processes is set by an hour while claims are open, a lease is renewed and another
    one is not, an event waits to be tried again, and a job is over."""
    api = Api(stepped.url)
    ids = [api.submit(f"{queue}-many") for _ in range(CLAIMS)]
    over, silent, spoken = (api.submit(queue) for _ in range(3))
    key = {"Idempotency-Key": new_id()}
    first = api.post("/v1/job", {"job_queue": f"{queue}-keys"}, headers=key).json()
    job = new_id()
    post_event(api, f"{receiver.url}/fails/1/{job}", job)
    for job_id in (over, silent, spoken):
        assert api.claimed(queue, cookie="agent_name=a1") == job_id
        api.set_state(job_id, "test")
    api.set_state(over, "complete")
    with ThreadPoolExecutor() as pool:
        alive = pool.submit(keep_alive, Api(stepped.url), spoken, LEASE + 4)
        pool.submit(lambda: (time.sleep(0.2), stepped.step(step)))
        assert sorted(claim_all(stepped.url, f"{queue}-many")) == sorted(ids)
        alive.result()
    wait_until(lambda: api.state(silent) == "cancelled", "the job of the silent agent ends")
    receiver.wait_for(2, job)
    assert api.post("/v1/job", {"job_queue": f"{queue}-keys"}, headers=key).json() == first
    assert api.state(over) == "complete"
    assert len(receiver.requests(job)) == 2

"""The database goes away and comes back, or another member of its replica set takes over: requests wait
at most their deadline, service resumes by itself, and nothing that was acknowledged is lost."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from urllib3.util import Retry

from client import Api, expect, expect_none
from mongo import Mongod
from replica_set import ReplicaSet
from stack import Stack, wait_until

pytestmark = [pytest.mark.waits, pytest.mark.stores("mongodb"), pytest.mark.slow]


class AgentApi(Api):
    """A client that tries again as agents do: 6 tries, pauses that add up to 9 s, Retry-After obeyed."""

    def __init__(self, url):
        super().__init__(url)
        retry = Retry(total=5, backoff_factor=0.3, status_forcelist=(500, 502, 503, 504),
                      allowed_methods=None, raise_on_status=False)
        self.session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))


class ImpatientApi(Api):
    """A client that takes 503 for an answer, which the caller sees."""


class Load:
    """Clients that submit jobs and post their results; an error is none of AgentApi's answers."""

    def __init__(self, url, queue, client, clients=4):
        self.url, self.queue, self.client = url, queue, client
        self.over = threading.Event()
        self.jobs, self.results, self.refused, self.slowest = [], [], 0, 0
        self.pool = ThreadPoolExecutor(clients)
        self.running = [self.pool.submit(self._run) for _ in range(clients)]

    def _post(self, api, path, body):
        """The response, None: it was refused for the time being."""
        begin = time.monotonic()
        response = api.post(path, body)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        if self.client is ImpatientApi and response.status_code in (503, 504):
            self.refused += 1
            return None
        return expect(response, 200)

    def _run(self):
        api = self.client(self.url)
        while not self.over.is_set():
            response = self._post(api, "/v1/job", {"job_queue": self.queue})
            if response:
                job_id = response.json()["job_id"]
                self.jobs.append(job_id)
                if self._post(api, f"/v1/result/{job_id}", {"test_output": job_id}):
                    self.results.append(job_id)
            time.sleep(0.05)

    def await_more(self, n):
        wait_until(lambda before=len(self.jobs): len(self.jobs) >= before + n, "it serves again", 30)

    def end(self):
        self.over.set()
        for each in self.running:
            each.result()
        self.pool.shutdown()

    def account(self):
        """Every acknowledged job and result is there; each job is handed out once."""
        api, found = Api(self.url), []
        assert self.jobs and self.results
        for job_id in self.results:
            assert api.get(f"/v1/result/{job_id}").json()["test_output"] == job_id
        while (response := api.claim(self.queue)).status_code == 200:
            found.append(response.json()["job_id"])
        expect_none(response)
        assert len(found) == len(set(found)) and set(self.jobs) <= set(found)


@contextmanager
def load(url, queue, client=AgentApi):
    run = Load(url, queue, client)
    try:
        time.sleep(0.5)
        yield run
        time.sleep(0.5)
    finally:
        run.end()
    run.account()


@pytest.fixture
def mongod_of_its_own():
    mongod = Mongod()
    yield mongod
    mongod.remove()


def refusals(stack, job_id, queue):
    """What each kind of request gets while the database is away; the time it took at most."""
    api, slowest = Api(stack.url), 0
    for method, path, body in [
            ("POST", "/v1/job", {"job_queue": queue}), ("GET", f"/v1/job/{job_id}", None),
            ("GET", f"/v1/job?queue={queue}", None), ("GET", f"/v1/result/{job_id}", None),
            ("POST", f"/v1/result/{job_id}", {"job_state": "setup"}), ("GET", "/readyz", None)]:
        begin = time.monotonic()
        response = expect(api.request(method, path, json=body), 503)
        slowest = max(slowest, time.monotonic() - begin)
        assert response.headers["Retry-After"] in ("1", "2")
        assert "store" in response.json()["message"]
    expect(api.get("/v1/"), 200)
    expect(api.get("/healthz"), 200)
    expect(api.post("/v1/job", {}), 422)
    return slowest


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_database_away(store, mongod_of_its_own, queue, fault):
    """Dead or standing still: 503 with Retry-After within the deadline, and normal service as soon as it
    is back; what was acknowledged until then is there."""
    mongod = mongod_of_its_own
    with Stack(mongod.uri("away"), "--store-timeout", 1000, workers=2) as stack:
        with load(stack.url, queue, ImpatientApi) as run:
            if fault == "kill":
                mongod.kill()
            else:
                mongod.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: run.refused > 8, "requests are refused", 15)
            slowest = refusals(stack, run.jobs[0], queue)
            pids = stack.tree()
            if fault == "kill":
                mongod.start()
            else:
                mongod.process.send_signal(signal.SIGCONT)
            begin, before = time.monotonic(), len(run.jobs)
            wait_until(lambda: len(run.jobs) > before + 3, "it serves again")
            print(f"served again after {time.monotonic() - begin:.2f} s; slowest {slowest:.2f}, {run.slowest:.2f} s")
        assert slowest < 8 and run.slowest < 11
        assert set(stack.tree()) == set(pids)


@pytest.mark.timeout(150)
def test_failover(store, queue):
    """Another member becomes primary, in order or after a death: agents see no error, nothing is lost."""
    replicas = ReplicaSet()
    try:
        with Stack(replicas.uri(queue), workers=2) as stack, load(stack.url, queue) as run:
            replicas.step_down()
            run.await_more(20)
            gone = replicas.kill_primary()
            run.await_more(20)
            gone.start()
            print(f"slowest {run.slowest:.2f} s")
    finally:
        replicas.remove()

"""Health for load balancers and service managers."""

import json
import signal

import pytest
import requests

from client import Api, expect, new_id
from stack import Stack, wait_until

# The roles tell of each other over the bus; a store that is away has a test of its own.
pytestmark = pytest.mark.stores("sqlite")


@pytest.mark.stores("sqlite", "mongodb")
def test_healthz_and_readyz(api):
    for path in ["/healthz", "/readyz"]:
        expect(api.get(path), 200)
        assert expect(api.head(path), 200).content == b""
        expect(api.post(path, {}), 405)


@pytest.mark.slow
def test_not_ready_without_workers(private):
    """Alive, but not ready while no worker answers; ready again by itself."""
    stack = private("--request-timeout", 1000, workers=1)
    api = Api(stack.url)
    workers = stack.children("worker")
    stack.freeze(workers)
    for _ in range(2):
        response = expect(api.get("/readyz"), 503)
        assert "No worker" in response.json()["message"] and response.headers["Retry-After"] == "1"
    expect(api.get("/healthz"), 200)
    stack.thaw(workers)
    wait_until(lambda: api.get("/readyz").status_code == 200, "it is ready")


@pytest.mark.slow
def test_not_ready_without_brokers(private):
    stack = private("--request-timeout", 1000, "--heartbeat", 100)
    brokers = stack.children("broker")
    stack.freeze(brokers)
    api = Api(stack.url)
    wait_until(lambda: "No broker" in api.get("/readyz").json().get("message", ""), "it says why")
    response = expect(api.get("/readyz"), 503)
    assert response.headers["Retry-After"] == "1"
    stack.thaw(brokers)
    wait_until(lambda: api.get("/readyz").status_code == 200, "it is ready")


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_not_ready_without_a_store(store):
    """No URL is printed before the store answers, and the frontend says why."""
    stack = Stack("mongodb://127.0.0.1:1/none", "--store-timeout", 500)
    stack.launch()
    try:
        url = f"{stack.url}/readyz"
        wait_until(lambda: answers(url) is not None, "the frontend answers")
        response = requests.get(url, timeout=10)
        assert response.status_code == 503 and response.headers["Retry-After"] in ("1", "2")
        assert "store" in response.json()["message"]
        expect(Api(stack.url).get("/healthz"), 200)
        assert stack.stdout() == ""
    finally:
        stack.kill_all()
        stack.port.release()


def answers(url):
    try:
        return requests.get(url, timeout=10)
    except requests.ConnectionError:
        return None


def test_logs_tell_the_request(private):
    """One JSON object a line; a request that failed has its id in it, and the client's."""
    stack = private("--request-timeout", 200, workers=1)
    stack.freeze(stack.children("worker"))
    before = len(stack.log().splitlines())
    own, theirs = (requests.get(f"{stack.url}/v1/job/{new_id()}", headers=headers, timeout=10)
                   for headers in ({}, {"X-Request-Id": "theirs"}))
    assert own.status_code == theirs.status_code == 504
    assert theirs.headers["X-Request-Id"] == "theirs"
    stack.thaw(stack.children("worker"))
    lines = [json.loads(line) for line in stack.log().splitlines()]
    assert all({"time", "level", "role", "pid", "message"} <= set(line) for line in lines)
    failed = [line for line in lines[before:] if "not answered" in line["message"]]
    assert failed[0]["request_id"] == own.headers["X-Request-Id"]
    assert "theirs" in failed[1]["message"] and len(failed) == 2

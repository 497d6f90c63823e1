"""What load balancers and service managers ask."""

import signal

import pytest
import requests

from client import Api, expect
from stack import Stack, processes, wait_until


def test_healthz_and_readyz(api):
    for path in ["/healthz", "/readyz"]:
        expect(api.get(path), 200)
        assert expect(api.head(path), 200).content == b""
        expect(api.post(path, {}), 405)


@pytest.mark.heavy
def test_not_ready_without_workers(private):
    """Alive, but not ready while no worker answers; ready again by itself."""
    stack = private("--request-timeout", 1000, workers=1)
    api = Api(stack.url)
    workers = stack.children("worker")
    stack.signal(signal.SIGSTOP, workers)
    assert api.get("/readyz").status_code in (503, 504)
    expect(api.get("/healthz"), 200)
    stack.signal(signal.SIGCONT, [p for p in workers if p in processes()])
    wait_until(lambda: api.get("/readyz").status_code == 200, "it is ready")


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

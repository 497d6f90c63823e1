"""Refused calls fill no disk: their log lines are bounded, and the log has the number of those left out."""

import json
import time
import uuid

import pytest
import requests

import auth
from client import Api
from stack import Port, Stack

pytestmark = pytest.mark.stores("sqlite")
LIMIT, CALLS = 10, 200
PROCESSES = 2 + 1  # of the workers: those for logins, too


def lines(stack):
    return [json.loads(line) for line in stack.log().splitlines() if line.startswith("{")]


def kinds(stack, prefix):
    return [line for line in lines(stack) if line.get("event", "").startswith(prefix)]


def left_out(port):
    for line in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines():
        if line.startswith("testflinger_log_lines_left_out_total "):
            return float(line.split()[1])
    raise AssertionError("no such metric")


def minutes(began):
    """Minutes of the clock that have begun since: each has its lines."""
    return 2 + int(time.monotonic() - began) // 60


@pytest.mark.slow
def test_refused_calls(store_uri):
    ports, began = Port(4), time.monotonic()
    with Stack(store_uri(), "--auth", "login", "--log-limit", LIMIT, "--login-failures", 0,
               "--login-failures-address", 0, "--metrics-port", ports.number, env=auth.ENV) as stack:
        auth.introduce(stack)
        api = Api(stack.url)
        api.session.headers.update(auth.as_role("contributor"))
        for _ in range(CALLS):
            assert api.get("/v1/client-permissions").status_code == 403
            assert requests.get(f"{stack.url}/v1/job/{uuid.uuid4()}", timeout=10).status_code == 401
            assert requests.post(f"{stack.url}/v1/oauth2/token", timeout=10).status_code == 401
        most = minutes(began) * LIMIT * PROCESSES
        for prefix in ("authz_fail:", "authn_login_fail:"):
            assert LIMIT <= len(kinds(stack, prefix)) <= most, prefix
        assert left_out(ports.number + 2) >= 2 * CALLS - 2 * most
        assert len(lines(stack)) < 80 + 2 * most
        # The audit trail, which is in the store, has none of them.
        trail = api.get("/v1/audit", headers=auth.as_role("admin")).json()
        assert {entry["action"] for entry in trail} <= {"client.create"}


@pytest.mark.slow
def test_refused_browsers(store_uri):
    began = time.monotonic()
    with Stack(store_uri(), "--log-limit", LIMIT) as stack:
        for _ in range(CALLS):
            assert requests.get(f"{stack.url}/v1/job?queue=q", timeout=10,
                                headers={"Origin": "http://evil.example"}).status_code == 403
        told = [line for line in lines(stack) if "of a browser at 127.0.0.1" in line.get("message", "")]
        assert LIMIT <= len(told) <= minutes(began) * LIMIT


def test_without_a_limit_all_are_told(store_uri):
    with Stack(store_uri(), "--auth", "roles", "--log-limit", 0, env=auth.ENV) as stack:
        for _ in range(150):
            assert requests.get(f"{stack.url}/v1/client-permissions", timeout=10).status_code == 403
        assert len(kinds(stack, "authz_fail:")) == 150

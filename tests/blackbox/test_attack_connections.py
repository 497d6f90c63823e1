"""Attacks by connections: descriptors that run out, processes that hang."""

import ctypes
import contextlib
import os
import resource
import signal
import socket
import time

import pytest
import requests

from client import Api, expect
from stack import Port, comm, cpu_seconds, wait_until

pytestmark = [pytest.mark.waits, pytest.mark.stores("sqlite")]  # the store takes no part in this


def connect(stack, timeout=10):
    return socket.create_connection(("127.0.0.1", stack.port.number), timeout)


def ask(connection):
    """Status of an answer on this connection; 0: it is closed."""
    try:
        connection.sendall(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n")
        line = connection.recv(4096)
    except OSError:
        return 0
    return int(line.split()[1]) if line else 0


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def metrics_port():
    """A port with free ones for the other roles after it."""
    port = Port(4)
    yield port
    port.release()


# A frontend that goes on accepting

@pytest.mark.alone
@pytest.mark.slow
def test_accepting_goes_on_after_emfile(private, metrics_port):
    """Without free descriptors connections wait and /readyz fails; once some are free, both recover within a
    second."""
    stack = private("--metrics-port", metrics_port.number)
    pid, = stack.children("frontend")
    held = [connect(stack) for _ in range(3)]
    assert [ask(c) for c in held] == [200] * 3
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid), old[1]))
    waiting = [connect(stack) for _ in range(5)]  # the kernel takes them
    health = f"http://127.0.0.1:{metrics_port.number}/healthz"
    wait_until(lambda: stack.log_contains("cannot accept a connection"), "it says so")
    wait_until(lambda: requests.get(health, timeout=5).status_code == 503, "it is not healthy")
    assert "accepts" in requests.get(health, timeout=5).json()["reason"]
    assert requests.get(health.replace("healthz", "readyz"), timeout=5).status_code == 503
    assert [ask(c) for c in held] == [200] * 3, "what is open goes on"
    resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    began = time.monotonic()
    assert [ask(c) for c in waiting] == [200] * 5
    assert time.monotonic() - began < 1
    wait_until(lambda: requests.get(health, timeout=5).status_code == 200, "it is healthy")
    assert stack.children("frontend") == [pid]
    for c in held + waiting:
        c.close()


@pytest.mark.alone
def test_accepting_goes_on_when_connections_end(private):
    """As above, but closed connections free the descriptors."""
    stack = private()
    pid, = stack.children("frontend")
    expect(Api(stack.url).get("/v1/"), 200)
    with contextlib.ExitStack() as cleanup:
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 10, most))
        held = [cleanup.enter_context(connect(stack)) for _ in range(30)]
        wait_until(lambda: stack.log_contains("cannot accept a connection"), "it says so")
        for c in held[:25]:
            c.close()
        began = time.monotonic()
        assert [ask(c) for c in held[25:]] == [200] * 5
        assert time.monotonic() - began < 1


# The metrics port

def monitor_of(stack, role="frontend"):
    found, = (p for p in stack.forked(role) if comm(p) == "tf-monitor")
    return found


def test_many_connections_to_the_metrics_port(private, metrics_port):
    """Connections without a request are closed in favour of those with one."""
    stack = private("--metrics-port", metrics_port.number)
    pid = monitor_of(stack)
    health = f"http://127.0.0.1:{metrics_port.number}/healthz"
    expect(requests.get(health, timeout=5), 200)
    before = open_files(pid)
    with contextlib.ExitStack() as cleanup:
        for _ in range(400):
            cleanup.enter_context(socket.create_connection(("127.0.0.1", metrics_port.number), 10))
        expect(requests.get(health, timeout=5), 200)
        assert open_files(pid) <= before + 130
    assert monitor_of(stack) == pid


def test_the_metrics_port_without_descriptors(private, metrics_port):
    """A failed accept fills no log, and accepting goes on."""
    stack = private("--metrics-port", metrics_port.number)
    pid = monitor_of(stack)
    health = f"http://127.0.0.1:{metrics_port.number}/healthz"
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 2, old[1]))
    with contextlib.ExitStack() as cleanup:
        for _ in range(10):
            cleanup.enter_context(socket.create_connection(("127.0.0.1", metrics_port.number), 10))
        wait_until(lambda: stack.log_contains("cannot accept a connection"), "it says so")
        used = cpu_seconds(pid)
        time.sleep(1)
        assert cpu_seconds(pid) - used < 0.5, "it does not spin"
        assert stack.log().count("accept") < 5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        expect(requests.get(health, timeout=5), 200)
    assert monitor_of(stack) == pid


# The watchdog

PTRACE_ATTACH = 16


@pytest.mark.slow
@pytest.mark.parametrize("role", ["frontend", "broker"])
def test_process_that_stands_still_is_replaced(private, role):
    """In a debugger: a process that is stopped by a signal is replaced earlier."""
    stack = private("--watchdog", 3, frontends=2)
    api = Api(stack.url)
    stack.undisturbed = None
    stopped = stack.children(role)[0]
    assert ctypes.CDLL(None).ptrace(PTRACE_ATTACH, stopped, None, None) == 0
    os.waitpid(stopped, 0)
    os.waitpid(stopped, 0)  # its end: told to the debugger first
    wait_until(stack.is_complete, "another has taken its place")
    assert stack.log_contains("its event loop has not turned for 3 s")
    for _ in range(5):
        expect(api.get("/v1/agents/data"), 200)


@pytest.mark.slow
def test_stopped_together_with_its_master(private):
    """After a suspend or Ctrl-Z no process counts as hung, so none is replaced."""
    stack = private("--watchdog", 2)
    frontends = stack.pids("frontend")
    stack.signal(signal.SIGSTOP, frontends)
    time.sleep(6)
    stack.signal(signal.SIGCONT, frontends)
    time.sleep(3)
    assert stack.pids("frontend") == frontends
    expect(Api(stack.url).get("/v1/agents/data"), 200)


@pytest.mark.slow
def test_health_of_processes_that_stand_still(private, metrics_port):
    stack = private("--metrics-port", metrics_port.number, "--watchdog", 0)
    health = f"http://127.0.0.1:{metrics_port.number}/healthz"
    expect(requests.get(health, timeout=5), 200)
    stack.signal(signal.SIGSTOP, stack.children("frontend"))
    wait_until(lambda: requests.get(health, timeout=5).status_code == 503, "it is not healthy", 15)
    assert "loop" in requests.get(health, timeout=5).json()["reason"]
    stack.signal(signal.SIGCONT, stack.children("frontend"))
    wait_until(lambda: requests.get(health, timeout=5).status_code == 200, "it is healthy")

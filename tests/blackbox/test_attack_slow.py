"""Slow or silent clients, and clients that take all connections, are cut; others are served."""

import os
import select
import socket
import time
from pathlib import Path

import pytest
import requests

from client import Api, expect, new_id
from stack import wait_until

pytestmark = [pytest.mark.waits, pytest.mark.stores("sqlite")]  # the store takes no part in this
GET = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(stack, source="127.0.0.1", receive=None):
    c = socket.socket()
    if receive:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    c.bind((source, 0))
    c.settimeout(20)
    c.connect(("127.0.0.1", stack.port.number))
    return c


def status(connection):
    """Status of an answer on this connection; 0: it is closed."""
    try:
        line = connection.recv(65536)
    except OSError:
        return 0
    return int(line.split()[1]) if line else 0


def ask(connection):
    try:
        connection.sendall(GET)
    except OSError:
        return 0
    return status(connection)


def trickle(connection, data, size, pause, seconds):
    """Sends pieces until the server says something or closes; (status, seconds)."""
    began = time.monotonic()
    for i in range(0, len(data), size):
        try:
            connection.sendall(data[i:i + size])
        except OSError:
            return status(connection), time.monotonic() - began
        if select.select([connection], [], [], pause)[0]:
            return status(connection), time.monotonic() - began
        assert time.monotonic() - began < seconds, "it is not cut"
    return status(connection), time.monotonic() - began


# Heads

@pytest.fixture
def hasty(private):
    """A server with short timeouts for clients."""
    return private("--head-timeout", 1, "--rate-grace", 1, "--client-timeout", 2)


@pytest.mark.slow
def test_head_in_time(hasty):
    head = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(50))
    took = trickle(connect(hasty), head, 1, 0.05, 10)
    assert took[0] == 408 and 1 <= took[1] < 5
    with connect(hasty) as silent:  # one byte, then nothing
        silent.sendall(b"G")
        began = time.monotonic()
        assert status(silent) == 408 and time.monotonic() - began < 5
        assert silent.recv(10) == b""
    with connect(hasty) as second:  # also for a later request on a connection
        assert ask(second) == 200
        second.sendall(b"GET")
        assert status(second) == 408
    with connect(hasty) as slow:  # but not when the head comes in time
        for part in (GET[:5], GET[5:20], GET[20:]) * 3:
            slow.sendall(part)
            time.sleep(0.2)
        assert slow.recv(65536).count(b"HTTP/1.1 200") == 3
    wait_until(lambda: hasty.log_contains("--head-timeout"), "it is logged")


@pytest.mark.slow
def test_idle_connection_is_closed(hasty):
    with connect(hasty) as idle:
        assert ask(idle) == 200
        began = time.monotonic()
        assert idle.recv(100) == b"" and 1.5 < time.monotonic() - began < 6


# Bodies

def head_of(path, length=None):
    framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"{framing}\r\n\r\n").encode()


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_slow_body(hasty, chunked):
    with connect(hasty) as slow:
        slow.sendall(head_of("/v1/job", None if chunked else 60000))
        data = b"1\r\nx\r\n" * 1000 if chunked else b"x" * 6000
        code, took = trickle(slow, data, 6, 0.05, 15)
        assert code == 408 and 1 <= took < 10


@pytest.mark.slow
def test_silent_body(hasty):
    with connect(hasty) as silent:
        silent.sendall(head_of("/v1/job", 100) + b"{")
        began = time.monotonic()
        assert status(silent) == 408 and time.monotonic() - began < 8


@pytest.mark.slow
def test_fair_body(hasty):
    """8 KiB/s for longer than any limit lasts."""
    body = b'{"job_queue": "q", "test_data": {"test_cmds": "' + b"x" * 40000 + b'"}}'
    with connect(hasty) as fair:
        fair.sendall(head_of("/v1/job", len(body)))
        assert trickle(fair, body, 1024, 0.125, 30)[0] == 200


@pytest.mark.slow
def test_slow_upload(hasty):
    api = Api(hasty.url)
    job = expect(api.post("/v1/job", {"job_queue": "q", "test_data": {"attachments": [
        {"agent": "test"}]}}), 200).json()["job_id"]
    parts = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 9000)
    head = (f"POST /v1/job/{job}/attachments HTTP/1.1\r\nHost: x\r\nContent-Type: "
            "multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n").encode()
    with connect(hasty) as slow:
        slow.sendall(head)
        slow.sendall(parts[:100])
        code, took = trickle(slow, parts[100:], 10, 0.05, 15)
        assert code in (0, 408) and took < 12  # 0: a worker was asked meanwhile
    expect(api.post(f"/v1/job/{job}/attachments", files={"file": b"x" * 300000}), 200)


# Answers

@pytest.fixture
def large(hasty):
    """(server, path, length) of a large answer."""
    api = Api(hasty.url)
    text = "x" * 6_000_000
    job = expect(api.post("/v1/job", {"job_queue": new_id(), "test_data": {"test_cmds": text}}),
                 200).json()["job_id"]
    return hasty, f"/v1/job/{job}", len(api.get(f"/v1/job/{job}").content)


def is_served(stack, connection):
    """Whether the server has its end of a connection open: a closed or not accepted one has no inode."""
    ends = f":{stack.port.number:04X}", f":{connection.getsockname()[1]:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any((row[1][-5:], row[2][-5:]) == ends and row[9] != "0" for row in rows)


@pytest.mark.slow
def test_answer_that_is_not_taken(large):
    stack, path, _ = large
    with connect(stack, receive=8192) as deaf:
        deaf.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: is_served(stack, deaf), "it is there")
        wait_until(lambda: not is_served(stack, deaf), "it is cut", 15)
    wait_until(lambda: stack.log_contains("took their answers slower"), "it is logged")


def read_slowly(connection, size, pause):
    """Bytes until the end, and the seconds that took."""
    got, began = 0, time.monotonic()
    while got < 10_000_000:
        try:
            data = connection.recv(size)
        except OSError:
            data = b""
        if not data:
            break
        got += len(data)
        time.sleep(pause)
    return got, time.monotonic() - began


@pytest.mark.slow
def test_answer_that_is_taken_fairly(large):
    """Takes longer than any timeout, at more than the minimum rate."""
    stack, path, length = large
    with connect(stack) as fair:
        fair.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got, took = read_slowly(fair, 65536, 0.08)
        assert got > length and took > 5


# Places

def test_limit_by_address(private):
    stack = private("--max-connections-per-address", 5)
    held = [connect(stack) for _ in range(5)]
    assert [ask(c) for c in held] == [200] * 5
    with connect(stack) as refused:
        assert status(refused) == 503
    with connect(stack, "127.0.0.2") as other:
        assert ask(other) == 200
    held.pop().close()
    wait_until(lambda: ask(connect(stack)) == 200, "there is room again")
    wait_until(lambda: stack.log_contains("--max-connections-per-address"), "it is logged")
    for c in held:
        c.close()


def test_long_polls_count_apart(private):
    """A lab whose agents all wait for jobs can still post."""
    stack = private("--max-connections-per-address", 5)
    polls = []
    for _ in range(5):
        polls.append(connect(stack))
        polls[-1].sendall(f"GET /v1/job?queue={new_id()}&wait=20 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.1)
    ordinary = [connect(stack) for _ in range(5)]
    assert [ask(c) for c in ordinary] == [200] * 5
    with connect(stack) as refused:
        assert status(refused) == 503
    for c in polls + ordinary:
        c.close()


@pytest.mark.slow
def test_idle_ones_give_way(private):
    stack = private("--max-connections", 10, "--max-connections-per-address", 1000)
    held = [connect(stack) for _ in range(10)]
    assert [ask(c) for c in held] == [200] * 10
    time.sleep(2)
    assert ask(held[0]) == 200, "the first is the youngest now"
    more = [connect(stack) for _ in range(5)]
    assert [ask(c) for c in more] == [200] * 5
    assert [ask(c) for c in held] == [200] + [0] * 5 + [200] * 4
    for c in held + more:
        c.close()


def test_heads_give_way(private):
    """Connections with an incomplete head give way to later ones."""
    stack = private("--max-connections", 10)
    held = [connect(stack, f"127.0.0.{2 + i}") for i in range(10)]
    for c in held:
        c.sendall(b"GET /")
    time.sleep(0.3)
    for _ in range(20):
        with connect(stack) as c:
            assert ask(c) == 200
    for c in held:
        c.close()


def test_the_largest_gives_way(private):
    """One address takes all connections, neither idle nor in a head: others still get one."""
    stack = private("--max-connections", 10, "--max-connections-per-address", 1000)
    held = [connect(stack, "127.0.0.9") for _ in range(10)]
    for c in held:
        c.sendall(f"GET /v1/job?queue={new_id()}&wait=20 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    time.sleep(0.5)
    for _ in range(20):
        with connect(stack) as c:
            assert ask(c) == 200
    for c in held:
        c.close()


def test_many_addresses_at_the_limit(private):
    """A flood of connections, each from another address: those who ask are served meanwhile."""
    stack = private("--max-connections", 50)
    flood = [connect(stack, f"127.0.{2 + i // 200}.{1 + i % 200}") for i in range(400)]
    for _ in range(20):
        expect(requests.get(f"{stack.url}/v1/", timeout=5), 200)
    for c in flood:
        c.close()
    assert sum(len(os.listdir(f"/proc/{p}/fd")) for p in stack.children("frontend")) < 200

"""What clients can make a frontend process hold: each attack tries to fill its memory in another way,
from several addresses, and never reads or ends what it began. The resident memory of the process stays
below the bound that docs/config.md gives, and others get their small requests served meanwhile."""

import os
import select
import socket
import sys
import threading
import time

from support import Bystander, Watch, bound, connect, expect, figure, finish, rss_kib, server

KIB, MIB = 1 << 10, 1 << 20
BUDGET = 64 * MIB      # --max-body-memory
CONNECTIONS = 4096     # --max-connections
# docs/config.md, "How much memory a frontend process takes"
BOUND_MIB = 32 + CONNECTIONS * 16 / 1024 + BUDGET / MIB
ADDRESSES = 8
HOLD = 3               # seconds for which an attack stands
JOB = {"id": None}


def open_many(stack, n):
    return [connect(stack, source=f"127.0.3.{1 + i % ADDRESSES}") for i in range(n)]


def fill(sock, data, most):
    """Sends `data` again and again, without waiting for the server to read, up to `most` bytes."""
    sock.setblocking(False)
    sent = 0
    try:
        while sent < most:
            sent += sock.send(data[:most - sent])
    except (BlockingIOError, ConnectionError):
        pass
    return sent


def push(socks, data, seconds):
    """Sends `data` on all connections side by side, as fast as the server takes it, for a while."""
    left = {sock.fileno(): [sock, memoryview(data)] for sock in socks}
    poll = select.poll()
    for number, (sock, _) in left.items():
        sock.setblocking(False)
        poll.register(number, select.POLLOUT)
    end = time.monotonic() + seconds
    while left and time.monotonic() < end:
        for number, what in poll.poll(200):
            sock, rest = left[number]
            try:
                sent = sock.send(rest[:65536])
            except BlockingIOError:
                continue
            except OSError:
                sent = len(rest)
            left[number][1] = rest[sent:]
            if not left[number][1]:
                poll.unregister(number)
                del left[number]


def post(path, length, *lines):
    more = "".join(f"{line}\r\n" for line in lines)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {length}\r\n\r\n".encode()


def pipelining(stack):
    """Pipelined requests whose answers are not read."""
    socks = open_many(stack, 600)
    push(socks, b"GET /v1/agents/data HTTP/1.1\r\nHost: x\r\n\r\n" * 20000, 6)
    return socks


def segments(stack):
    """A body, each byte in a segment of its own."""
    socks = open_many(stack, 60)
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(post("/v1/job", 60000))
    end = time.monotonic() + 6
    while time.monotonic() < end:
        for sock in socks:
            for _ in range(20):
                sock.send(b"x")
    return socks


def openings(stack):
    """Nearly all connections, each with 4 KB of a head, which --max-body-memory does not count."""
    socks = open_many(stack, CONNECTIONS - 200)
    push(socks, b"GET /v1/ HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 4000, 6)
    return socks


def heads(stack):
    """Heads that are nearly as large as they may be, and never complete."""
    socks = open_many(stack, 2000)
    push(socks, b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + b"".join(
        b"X-%d: %s\r\n" % (i, b"y" * 7000) for i in range(8)), 6)
    return socks


def small_bodies(stack):
    """Bodies of 64 KiB without their last byte."""
    socks = open_many(stack, 2000)
    push(socks, post("/v1/job", 64 * KIB) + b"x" * (64 * KIB - 1), 6)
    return socks


def held_bodies(stack):
    """1,000 bodies of 256 KiB, at one byte a second from the last one but a few on."""
    socks = open_many(stack, 1000)
    push(socks, post("/v1/job", 256 * KIB) + b"x" * (256 * KIB - 10), 8)
    for _ in range(2):
        for sock in socks:
            fill(sock, b"x", 1)
        time.sleep(1)
    return socks


def documents(stack):
    """Whole bodies of 15 MiB, all at once."""
    socks = open_many(stack, 40)
    push(socks, post("/v1/result/11111111-1111-1111-1111-111111111111/output", 15 * MIB) + b"x" * (15 * MIB), 12)
    return socks


def readers(stack):
    """Clients that ask for an answer of 15 MB and never read it."""
    socks = []
    for i in range(80):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((f"127.0.3.{1 + i % ADDRESSES}", 0))
        sock.connect(("127.0.0.1", stack.port.number))
        sock.sendall(f"GET /v1/result/{JOB['id']}/log/output HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        socks.append(sock)
    time.sleep(8)
    return socks


def uploads(stack):
    socks = open_many(stack, 30)
    head = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
    body = head + b"x" * (16 * MIB) + b"\r\n--B--\r\n"
    threads = []
    for i, sock in enumerate(socks):
        path = f"/v1/result/22222222-2222-2222-2222-{i:012}/artifact"
        threads.append(threading.Thread(target=push, args=(
            [sock], post(path, len(body), "Content-Type: multipart/form-data; boundary=B") + body, 10)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return socks


def store_large_log(stack):
    """A log of 15 MB, by posts that fit."""
    import json
    import urllib.request
    job = "33333333-3333-3333-3333-333333333333"
    for i in range(2):
        body = {"fragment_number": i, "timestamp": "2026-01-01T00:00:00Z", "phase": "test",
                "log_data": os.urandom(3_700_000).hex()}
        request = urllib.request.Request(f"{stack.url}/v1/result/{job}/log/output",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
    JOB["id"] = job


def run(stack, attack):
    frontend = stack.children("frontend")[0]
    with Watch(stack) as memory, Bystander(stack, pause=0.05) as other:
        socks = attack(stack)
        time.sleep(HOLD)
    for sock in socks:
        sock.close()
    name = attack.__name__.replace("_", " ")
    figure(f"{name}: connections", len(socks), "")
    bound(f"{name}: RSS of the frontend", memory.peak_mib(), "MiB", most=BOUND_MIB)
    figure(f"{name}: others' errors", other.errors, other.reason)
    expect(f"{name}: others are served", other.errors <= len(other.times) // 20 and len(other.times) > 5)
    time.sleep(0.5)
    figure(f"{name}: RSS afterwards", rss_kib(frontend) / 1024, "MiB")


def main():
    figure("bound", BOUND_MIB, "MiB")
    names = sys.argv[1:]
    with server("--max-body-memory", BUDGET, "--max-connections", CONNECTIONS) as stack:
        store_large_log(stack)
        frontend = stack.children("frontend")
        for attack in (pipelining, segments, openings, heads, small_bodies, held_bodies, readers, documents, uploads):
            if not names or attack.__name__ in names:
                run(stack, attack)
        expect("the frontend is the same process", stack.children("frontend") == frontend)
    return finish()


if __name__ == "__main__":
    sys.exit(main())

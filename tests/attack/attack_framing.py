"""Bytes that two parsers could read differently: pieces of requests put together and changed at
random (bare LF, odd lengths and chunks), each sent at once and again in pieces: the answers must be
the same, and none is a fault of the server. Then many connections that pipeline requests and read
no answer, and bodies that come byte by byte: what they cost in memory is bounded.

ATTACK_SECONDS is the time of the first part, 60 by default; ATTACK_SEED makes it again."""

import os
import random
import re
import select
import socket
import sys
import time

from support import Bystander, Watch, bound, connect, expect, figure, finish, rss_kib, server

SECONDS = float(os.environ.get("ATTACK_SECONDS", 60))
SEED = int(os.environ.get("ATTACK_SEED", random.randrange(2**32)))
SILENT = 200          # connections that read no answer
BYTES = 400_000       # of a body that comes byte by byte
MARK = b"GET /v1/job/zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ID = "11111111-1111-1111-1111-111111111111"

LINES = [b"GET /v1/ HTTP/1.1", b"POST /v1/job HTTP/1.1", b"HEAD /v1/ HTTP/1.0", b"BREW /v1/ HTTP/1.1",
         f"POST /v1/job/{ID}/attachments HTTP/1.1".encode(), b"GET //a:b@[/ HTTP/1.1",
         b"OPTIONS * HTTP/1.1", b"PRI * HTTP/2.0", b"GET http://x:y/v1/ HTTP/1.1"]
FIELDS = [b"Host: x", b"Host: a b", b"Content-Length: 5", b"Content-Length: 99999999999",
          b"Content-Length: 0", b"Content-Length: +1", b"Transfer-Encoding: chunked",
          b"Transfer-Encoding: gzip", b"Transfer-Encoding:\x0bchunked", b"Connection: close",
          b"Connection: keep-alive", b"Expect: 100-continue", b"X: y", b" folded", b"Content-Length : 3"]
BODIES = [b"", b"abcde", b"5\r\nabcde\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n",
          b"0\r\n\r\n", b"5;a=b\r\nabcde\r\n0\r\nX: y\r\n\r\n", b"4000001\r\nab", b"5\r\nabcdef\r\n0\r\n\r\n"]
ENDS = [b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r"]


def request(rng):
    end = (lambda: rng.choice(ENDS)) if rng.random() < 0.3 else (lambda: b"\r\n")
    parts = [rng.choice(LINES), end()]
    if rng.random() < 0.9:
        parts += [b"Host: x", end()]
    for field in rng.sample(FIELDS, rng.choice((0, 0, 1, 1, 2, 3))):
        parts += [field, end()]
    return b"".join(parts) + end() + rng.choice(BODIES)


def attack(rng):
    data = bytearray(b"".join(request(rng) for _ in range(rng.randint(1, 4))))
    for _ in range(rng.choice((0, 0, 0, 1, 2, 5))):
        at = rng.randrange(len(data))
        change = rng.randrange(3)
        if change == 0:
            data[at] = rng.choice(b"\r\n\0\t :;0x")
        elif change == 1:
            del data[at]
            data = data or bytearray(b"\n")
        else:
            data.insert(at, rng.choice(b"\r\n\0\t :;0x"))
    return bytes(data) + MARK


def answers(stack, pieces):
    """The statuses of what comes back until the server closes, or is silent for a while: it may wait
    for the rest of a body. 100s are left out."""
    came = b""
    with connect(stack) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                sock.sendall(piece)
                if len(pieces) > 1 and select.select([sock], [], [], 0.001)[0]:
                    came += (got := sock.recv(65536))
                    if not got:
                        break
            while select.select([sock], [], [], 0.3)[0] and (got := sock.recv(65536)):
                came += got
        except (ConnectionResetError, BrokenPipeError):
            pass
    found = re.findall(rb"HTTP/1\.[01] (\d{3}) ", came)
    return [int(status) for status in found if status != b"100"], came


def cut(rng, data):
    pieces = []
    while data:
        n = rng.choice((1, 1, 2, 3, 7, 50))
        pieces.append(data[:n])
        data = data[n:]
    return pieces


def mutations(stack):
    rng = random.Random(SEED)
    figure("seed", SEED, "")
    end, tried, differ, faults, pages = time.monotonic() + SECONDS, 0, 0, 0, 0
    while time.monotonic() < end:
        data = attack(rng)
        (whole, came), (pieces, _) = answers(stack, [data]), answers(stack, cut(rng, data))
        tried += 1
        if whole != pieces:
            differ += 1
            print(f"differ: {data!r}: {whole} {pieces}", flush=True)
        if any(status >= 500 and status != 505 for status in whole + pieces):
            faults += 1
            print(f"fault: {data!r}: {whole} {pieces}", flush=True)
        pages += b"<HTML>" in came
    figure("inputs", tried, "")
    expect("the answers do not depend on the pieces", not differ)
    expect("no fault of the server", not faults)
    expect("no page of the HTTP library", not pages)


def silent(stack):
    """Connections that send as long as they can, and never read."""
    request = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    (pid,) = stack.children("frontend")
    before, socks, sent = rss_kib(pid), [], 0
    for _ in range(SILENT):
        socks.append(connect(stack))
        # Small kernel buffers: the server's memory is measured.
        socks[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        socks[-1].setblocking(False)
    last = time.monotonic()
    while time.monotonic() - last < 2:
        for sock in socks:
            try:
                sent += sock.send(request)
                last = time.monotonic()
            except BlockingIOError:
                pass
        if sent > SILENT * 32 * 2**20:
            break
    figure("silent connections: sent by each", sent / SILENT / 2**20, "MiB")
    expect("the server stops to read", sent <= SILENT * 32 * 2**20)
    bound("silent connections: memory of each", (rss_kib(pid) - before) / SILENT, "KiB", most=64)
    for sock in socks:
        sock.close()


def byte_by_byte(stack):
    (pid,) = stack.children("frontend")
    before = rss_kib(pid)
    with connect(stack) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BYTES + 1))
        for _ in range(BYTES):
            sock.send(b"x")
        bound("a body byte by byte: memory", (rss_kib(pid) - before) / 1024, "MiB", most=4)


def main():
    with server() as stack:
        with Watch(stack) as memory, Bystander(stack) as other:
            mutations(stack)
            silent(stack)
            byte_by_byte(stack)
        other.report()
        expect("others have no errors", not other.errors)
        bound("others: p99 of all the time", other.percentile(99) * 1000, "ms", most=100)
        bound("RSS of the frontend", memory.peak_mib(), "MiB", most=100)
    return finish()


if __name__ == "__main__":
    sys.exit(main())

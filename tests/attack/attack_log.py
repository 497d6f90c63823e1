"""Twenty addresses send calls that are refused, as fast as they can: without a token, with a role that
does not do, with wrong secrets, as another site's page. Prints what each call costs the disk: bytes of
the log and of the store. Takes about 25 s.

Bounds (docs/access-control.md): of each kind a process logs five times --log-limit a minute, and the
store does not grow with the calls."""

import base64
import os
import socket
import sys
import time
from multiprocessing import Process, Value

from support import bound, expect, figure, finish, server

ADDRESSES, SECONDS, LIMIT, WORKERS = 20, 20, 100, 4
KINDS = 4          # authz_fail, authn_login_fail, authn_login_lock, browser refused
PROCESSES = WORKERS + 2  # that log: workers, one for logins, a frontend
LINE = 1024        # bytes of a line at most
MINUTES = 2        # that SECONDS may touch


def request(line, *headers):
    return "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


REFUSED = [request("GET /v1/client-permissions"),
           request("GET /v1/audit", "Authorization: Bearer x.y.z"),
           request("GET /v1/job?queue=q", "Origin: http://evil.example"),
           request("POST /v1/oauth2/token", "Content-Length: 0", "Authorization: Basic "
                   + base64.b64encode(b"nobody:wrong").decode())]


def attack(port, source, calls, end):
    """Sends several requests at once, then reads their answers."""
    batch, n = b"".join(REFUSED), 0
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30,
                                          source_address=(source, 0)) as sock:
                while time.monotonic() < end:
                    sock.sendall(batch)
                    answers = b""
                    while answers.count(b"HTTP/1.1 ") < len(REFUSED):
                        part = sock.recv(65536)
                        if not part:
                            raise ConnectionError
                        answers += part
                    n += len(REFUSED)
        except OSError:
            time.sleep(0.1)
    with calls.get_lock():
        calls.value += n


def size(folder):
    """Bytes of the log, and of the store's files."""
    log = os.path.getsize(folder / "stderr")
    return log, sum(os.path.getsize(folder / f) for f in os.listdir(folder) if f.startswith("data.db"))


def main():
    calls = Value("L", 0)
    with server("--auth", "roles", "--log-limit", LIMIT, workers=WORKERS) as stack:
        before = size(stack.folder)
        end = time.monotonic() + SECONDS
        attackers = [Process(target=attack, args=(stack.port.number, f"127.0.1.{i + 1}", calls, end))
                     for i in range(ADDRESSES)]
        for each in attackers:
            each.start()
        for each in attackers:
            each.join()
        log, store = (b - a for a, b in zip(before, size(stack.folder)))
    figure("refused calls", calls.value, "")
    figure("refused calls a second", calls.value / SECONDS, "/s")
    bound("bytes of the log", log, "bytes",
          most=5 * LIMIT * KINDS * PROCESSES * MINUTES * LINE)
    figure("bytes of the log a call", log / max(calls.value, 1), "bytes")
    bound("bytes of the store", store, "bytes", most=8 << 20)
    expect("calls were refused all the time", calls.value > SECONDS)
    return finish()


if __name__ == "__main__":
    sys.exit(main())

"""Logins with wrong secrets from hundreds of addresses, each for other clients, faster than secrets
can be checked. Who has logged in from his address before goes on to log in; others than logins do
not notice; nobody is locked out afterwards."""

import base64
import sys
import threading
import time
import uuid

from support import Bystander, Watch, bound, connect, expect, figure, finish, server

import auth
from client import Api

SECONDS = 25
THREADS = 60


def attempt(stack, source, client):
    """The status of a login with a wrong secret from an address of 127/8; 0: no answer."""
    text = base64.b64encode(f"{client}:a-wrong-secret-{client}".encode()).decode()
    request = f"POST /v1/oauth2/token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {text}\r\nConnection: close\r\n\r\n"
    try:
        with connect(stack, source, timeout=15) as connection:
            connection.sendall(request.encode())
            return int((connection.recv(4096).split() + [b"", b"0"])[1])
    except (OSError, ValueError):
        return 0


def flood(stack, end, number, statuses):
    turn = 0
    while time.monotonic() < end:
        turn += 1
        source = f"127.{1 + number}.{turn // 250 % 250}.{turn % 250 + 1}"
        status = attempt(stack, source, "testflinger-admin" if turn % 2 else uuid.uuid4().hex)
        with lock:
            statuses[status] = statuses.get(status, 0) + 1


lock = threading.Lock()
with server("--auth", "roles", env={"JWT_SIGNING_KEY": auth.KEY}) as stack:
    admin, api = auth.Admin(stack), Api(stack.url)
    admin.good("clients", "init", "--secret-stdin", text="the-key-of-the-system-admin", TESTFLINGER_BCRYPT_ROUNDS="10")
    known = ("testflinger-admin", "the-key-of-the-system-admin")
    assert api.post("/v1/oauth2/token", auth=known).status_code == 200
    statuses, times, refused = {}, [], 0
    with Watch(stack) as memory, Bystander(stack) as other:
        end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=flood, args=(stack, end, i, statuses)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        time.sleep(7)  # the burst is over
        while time.monotonic() < end - 1:
            begin = time.perf_counter()
            refused += api.post("/v1/oauth2/token", auth=known).status_code != 200
            times.append(time.perf_counter() - begin)
            time.sleep(0.2)
        for thread in threads:
            thread.join()
    wrong = statuses.get(200, 0)
    after = api.post("/v1/oauth2/token", auth=known).status_code
    for status, n in sorted(statuses.items()):
        figure(f"attempts answered {status or 'not'}", n, "")
expect("none of the wrong secrets logs in", wrong == 0)
bound("a known client's logins that were refused", refused, "", most=0)
bound("a known client's logins", len(times), "", least=5)
bound("the slowest of them", max(times), "s", most=2)
other.report()
figure("RSS of a worker", memory.peak_mib("worker"), "MiB")
expect("it logs in after the flood", after == 200)
sys.exit(finish())

"""Reverse proxies: which headers are trusted; limits, events and logs use the client's address."""

import json
import signal
import socket
import ssl
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import auth
from client import expect, new_id
from stack import BIN, Stack, wait_until
from test_tls import make_certificate

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "203.0.113.5"
WRONG = {"Authorization": "Basic dGVzdGZsaW5nZXItYWRtaW46d3Jvbmc="}  # testflinger-admin:wrong


def seen(stack, headers, source="127.0.0.1", prefix=b"", host="x"):
    """The address that a security event gives for a failed login with these headers."""
    before = len(events(stack))
    lines = [f"{k}: {v}" for k, v in [*headers, ("Authorization", WRONG["Authorization"])]]
    request = "\r\n".join(["POST /v1/oauth2/token HTTP/1.1", f"Host: {host}", "Content-Length: 0",
                           "Connection: close", *lines, "", ""])
    with socket.create_connection(("127.0.0.1", stack.port.number), 10,
                                  source_address=(source, 0)) as c:
        c.sendall(prefix + request.encode())
        answer = b"".join(iter(lambda: c.recv(65536), b""))
    assert b" 401 " in answer.split(b"\r\n")[0], answer
    wait_until(lambda: len(events(stack)) > before, "there is an event")
    return events(stack)[-1]["source_ip"]


def events(stack):
    return [e for e in (json.loads(line) for line in stack.log().splitlines() if "source_ip" in line)
            if "authn_login_fail" in e.get("event", "")]


def start(*options, env=None):
    return Stack("sqlite:{folder}/data.db", "--auth", "roles", *options,
                 env={**auth.ENV, **(env or {})})


pytestmark = pytest.mark.stores("sqlite")  # the store takes no part in this


@pytest.fixture(scope="module")
def behind():
    with start("--trusted-proxies", "127.0.0.1/32, 10.0.0.0/8,2001:db8::/32",
               "--max-connections-per-address", 5) as stack:
        yield stack


XFF = "X-Forwarded-For"


@pytest.mark.parametrize("headers, client", [
    ([], "127.0.0.1"),
    ([(XFF, CLIENT)], CLIENT),
    ([(XFF, f"1.1.1.1, {CLIENT}")], CLIENT),
    ([(XFF, "1.1.1.1"), (XFF, CLIENT)], CLIENT),
    ([(XFF, f"1.1.1.1, {CLIENT}, 10.1.2.3")], CLIENT),
    ([(XFF, f"{CLIENT}, unknown")], "127.0.0.1"),
    ([(XFF, "[2001:db9::1]:99")], "2001:db9::1"),
    ([(XFF, "<script>")], "127.0.0.1"),
    ([("Forwarded", f"for={CLIENT}")], "127.0.0.1"),
    ([("X-Real-IP", CLIENT)], "127.0.0.1"),
])
def test_x_forwarded_for(behind, headers, client):
    assert seen(behind, headers) == client


def test_others_are_not_believed(behind):
    assert seen(behind, [(XFF, CLIENT), ("Forwarded", f"for={CLIENT}")], "127.0.0.2") == "127.0.0.2"


def test_forwarded():
    with start("--trusted-proxies", "127.0.0.1", "--proxy-headers", "forwarded") as stack:
        assert seen(stack, [("Forwarded", f'for=1.1.1.1, for="{CLIENT}:80";proto=https')]) == CLIENT
        assert seen(stack, [("Forwarded", 'For="[2001:db8:cafe::17]:4711"')]) == "2001:db8:cafe::17"
        assert seen(stack, [(XFF, CLIENT)]) == "127.0.0.1"
        assert seen(stack, [("Forwarded", f"for={CLIENT}")], "127.0.0.2") == "127.0.0.2"


def test_proxyfix():
    """As the reference server has it: the last hop of whoever connects."""
    with start(env={"ENABLE_PROXYFIX": "true"}) as stack:
        assert seen(stack, [(XFF, f"1.1.1.1, {CLIENT}")], "127.0.0.2") == CLIENT
        assert seen(stack, [(XFF, f"{CLIENT}, 10.0.0.1")]) == "10.0.0.1"
    with start(env={"ENABLE_PROXYFIX": "false"}) as stack:
        assert seen(stack, [(XFF, CLIENT)]) == "127.0.0.1"


def test_limit_by_client(behind):
    """Behind a proxy the client's own connections count, and only while it asks."""
    def poll(client):
        return requests.get(f"{behind.url}/v1/agents/data", headers={XFF: client}, timeout=20)

    with ThreadPoolExecutor(40) as pool:  # many connections of the proxy, each client has few
        answers = list(pool.map(poll, [f"203.0.113.{i}" for i in range(200)]))
    assert {r.status_code for r in answers} == {200}
    held = []
    for _ in range(7):  # one client holds bodies back; its heads have come
        c = socket.create_connection(("127.0.0.1", behind.port.number), 10)
        c.sendall(f"GET /v1/job?queue={new_id()}&wait=3 HTTP/1.1\r\nHost: x\r\n{XFF}: {CLIENT}\r\n\r\n".encode())
        held.append(c)
    time.sleep(0.5)
    assert expect(poll("203.0.113.9"), 200)
    for c in held:
        c.close()


def test_too_many_of_a_client():
    with Stack("sqlite:{folder}/data.db", "--trusted-proxies", "127.0.0.1",
               "--max-connections-per-address", 2, workers=1) as stack:
        workers = stack.children("worker")
        stack.freeze(workers)
        held = []
        for _ in range(3):
            c = socket.create_connection(("127.0.0.1", stack.port.number), 10)
            c.sendall(f"GET /v1/agents/data HTTP/1.1\r\nHost: x\r\n{XFF}: {CLIENT}\r\n\r\n".encode())
            held.append(c)
            time.sleep(0.1)
        assert b" 503 " in held[2].recv(65536).split(b"\r\n")[0]
        stack.thaw(workers)
        for c in held[:2]:
            assert b" 200 " in c.recv(65536).split(b"\r\n")[0]
        held[2].sendall(f"GET /v1/agents/data HTTP/1.1\r\nHost: x\r\n{XFF}: {CLIENT}\r\n\r\n".encode())
        assert b" 200 " in held[2].recv(65536).split(b"\r\n")[0]
        for c in held:
            c.close()


def test_forwarded_host_and_scheme(behind):
    """Pages of the server itself, as the browser calls it, may call it."""
    base = {"Origin": "https://tf.example.com", "User-Agent": "Mozilla/5.0"}
    path = f"{behind.url}/v1/job"
    body = {"job_queue": "q"}

    def post(**headers):
        return requests.post(path, json=body, headers={**base, **{k.replace("_", "-"): v for k, v in
                                                                  headers.items()}}, timeout=10).status_code

    assert post() == 403
    assert post(X_Forwarded_Host="tf.example.com", X_Forwarded_Proto="https") != 403
    assert post(X_Forwarded_Host="tf.example.com") != 403
    assert post(X_Forwarded_Host="tf.example.com", X_Forwarded_Proto="http") == 403
    assert post(X_Forwarded_Host="other.example.com", X_Forwarded_Proto="https") == 403


# PROXY protocol

def v2(source=CLIENT, tlvs=b"", command=0x21):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    here = "::1" if ":" in source else "127.0.0.1"
    body = (socket.inet_pton(family, source) + socket.inet_pton(family, here)
            + struct.pack("!HH", 4711, 8000) + tlvs)
    return SIGNATURE + bytes([command, 0x21 if ":" in source else 0x11]) + struct.pack("!H", len(body)) + body


@pytest.fixture(scope="module")
def protocol():
    with start("--trusted-proxies", "127.0.0.1,10.0.0.0/8", "--proxy-protocol", "yes",
               "--head-timeout", 1) as stack:
        yield stack


def test_proxy_protocol(protocol):
    assert seen(protocol, [], prefix=v2()) == CLIENT
    assert seen(protocol, [], prefix=v2("2001:db8::9")) == "2001:db8::9"
    assert seen(protocol, [], prefix=v2(tlvs=b"\x04\0\x04abcd" + b"\x02\0\x05tf.ex")) == CLIENT
    assert seen(protocol, [], prefix=v2(tlvs=b"\x04\x4e\x20" + b"x" * 20000)) == CLIENT
    for local in (SIGNATURE + b"\x20\0\0\0", v2(command=0x20), SIGNATURE + b"\x21\0\0\x03abc"):
        assert seen(protocol, [(XFF, CLIENT)], prefix=local) == "127.0.0.1"


def test_headers_within_the_protocol(protocol):
    """A client's headers do not count; those of a trusted proxy behind the balancer do."""
    assert seen(protocol, [(XFF, "1.1.1.1")], prefix=v2()) == CLIENT
    assert seen(protocol, [(XFF, CLIENT)], prefix=v2("10.0.0.7")) == CLIENT


def test_header_byte_by_byte(protocol):
    with socket.create_connection(("127.0.0.1", protocol.port.number), 10) as c:
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in v2() + b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n":
            c.sendall(bytes([byte]))
            time.sleep(0.002)
        assert c.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("data", [
    b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\nGET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    SIGNATURE + b"\x31\x11\0\x0c" + bytes(12), SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\0\x03" + bytes(12), SIGNATURE + b"\x21\x12\0\x0c" + bytes(12),
    b"\0" * 16, b"\r\n\r\n\0\r\nQUIT\r" + bytes(20)])
def test_bad_headers_close(protocol, data):
    with socket.create_connection(("127.0.0.1", protocol.port.number), 10) as c:
        c.sendall(data)
        c.settimeout(3)
        try:
            assert c.recv(100) == b""
        except ConnectionResetError:
            pass


@pytest.mark.slow
def test_header_in_time(protocol):
    for part in (b"", SIGNATURE, v2()[:20]):
        with socket.create_connection(("127.0.0.1", protocol.port.number), 10) as c:
            c.sendall(part)
            began = time.monotonic()
            assert c.recv(100) == b"" and time.monotonic() - began < 5


def test_protocol_of_others_is_no_http(protocol):
    with socket.create_connection(("127.0.0.1", protocol.port.number), 10,
                                  source_address=("127.0.0.2", 0)) as c:
        c.sendall(v2() + b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 400 " in c.recv(1000).split(b"\r\n")[0]
    assert seen(protocol, [(XFF, CLIENT)], "127.0.0.2") == "127.0.0.2"


def test_before_tls(tmp_path):
    """The header stands before the handshake; also in pieces."""
    cert, key = make_certificate(tmp_path, "proxied")
    stack = start("--trusted-proxies", "127.0.0.1", "--proxy-protocol", "yes", "--tls-cert", cert,
                  "--tls-key", key, "--head-timeout", 2)
    stack.url = stack.url.replace("http:", "https:")
    with stack:
        context = ssl.create_default_context(cafile=cert)
        for size in (1, 7, 1000):
            before = len(events(stack))
            plain = socket.create_connection(("127.0.0.1", stack.port.number), 10)
            header = v2(tlvs=b"\x04\0\x40" + b"x" * 64)
            for i in range(0, len(header), size):
                plain.sendall(header[i:i + size])
                time.sleep(0.002)
            with context.wrap_socket(plain, server_hostname="localhost") as c:
                c.sendall(b"POST /v1/oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                          + f"Authorization: {WRONG['Authorization']}\r\n\r\n".encode())
                assert b" 401 " in c.recv(1000).split(b"\r\n")[0]
            wait_until(lambda: len(events(stack)) > before, "there is an event")
            assert events(stack)[-1]["source_ip"] == CLIENT
        for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\x05hello"):
            with socket.create_connection(("127.0.0.1", stack.port.number), 10) as c:
                c.sendall(bad)
                c.settimeout(4)
                try:
                    assert c.recv(100) == b""
                except ConnectionResetError:
                    pass


# Settings

@pytest.mark.parametrize("options, text", [
    (["--trusted-proxies", "10.0.0.0/33"], "10.0.0.0/33"),
    (["--trusted-proxies", "127.0.0.1,proxy.example.com"], "proxy.example.com"),
    (["--proxy-protocol", "yes"], "trusted-proxies"),
    (["--proxy-headers", "x"], "x-forwarded|forwarded")])
def test_wrong_settings(options, text, tmp_path):
    (tmp_path / "bus").mkdir(mode=0o700)
    done = subprocess.run([BIN / "testflinger-frontend", "--listen", "127.0.0.1:19999", "--bus",
                           tmp_path / "bus", *options], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and text in done.stderr

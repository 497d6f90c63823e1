"""TLS of the server's own: versions, files, bad clients, large bodies, a new certificate at HUP."""

import os
import signal
import socket
import ssl
import subprocess
import time

import pytest
import requests

from client import expect, new_id
from stack import BIN, Port, SANITIZED, Stack, wait_until

pytestmark = pytest.mark.stores("sqlite")  # the store takes no part in this
GET = b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


def make_certificate(folder, name):
    """A self-signed certificate of localhost; (certificate, key)."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", cert, "-keyout", key],
                   check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "first")


class TlsStack(Stack):
    """A server that speaks TLS only."""

    def __init__(self, certificate, *options, **counts):
        super().__init__("sqlite:{folder}/data.db", "--tls-cert", certificate[0], "--tls-key",
                         certificate[1], *options, **counts)
        self.certificate = certificate
        self.url = self.url.replace("http:", "https:")

    def session(self):
        session = requests.Session()
        session.trust_env = False  # the verification below counts
        session.verify = str(self.certificate[0])
        return session

    def connect(self, **options):
        context = ssl.create_default_context(cafile=self.certificate[0])
        for name, value in options.items():
            setattr(context, name, value)
        plain = socket.create_connection(("127.0.0.1", self.port.number), 10)
        return context.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture(scope="session")
def tls(certificate):
    with TlsStack(certificate, "--head-timeout", 2) as stack:
        yield stack


def openssl(stack, *options, data=b""):
    """Output of openssl s_client."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{stack.port.number}", *options]
    done = subprocess.run(command, input=data, capture_output=True, timeout=20)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


# Versions

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_versions(tls, version):
    code, text = openssl(tls, version, "-CAfile", str(tls.certificate[0]), "-verify_return_error",
                         "-quiet", data=GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert code == 0 and "200 OK" in text and "Testflinger" in text


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(tls, version):
    code, text = openssl(tls, version, "-cipher", "ALL:@SECLEVEL=0")
    assert code != 0 and ("alert" in text or "no protocols" in text)


def test_weak_ciphers_are_refused(tls):
    for cipher in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA"):
        assert openssl(tls, "-tls1_2", "-cipher", cipher)[0] != 0


def test_alpn(tls):
    assert "ALPN protocol: http/1.1" in openssl(tls, "-alpn", "h2,http/1.1", data=b"Q\n")[1]
    assert "No ALPN negotiated" in openssl(tls, "-alpn", "h2", data=b"Q\n")[1]


def test_no_renegotiation(tls):
    code, text = openssl(tls, "-tls1_2", data=b"R\n")
    assert "no renegotiation" in text or code != 0


def test_curl(tls):
    url = f"https://localhost:{tls.port.number}/v1/"
    resolve = f"localhost:{tls.port.number}:127.0.0.1"
    for version in ("1.2", "1.3"):
        done = subprocess.run(["curl", "-fsS", "--cacert", tls.certificate[0], "--resolve", resolve,
                               f"--tlsv{version}", "--tls-max", version, url, url],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and done.stdout.count("Testflinger") == 2, done.stderr


# Requests

def test_requests_by_tls(tls):
    with tls.session() as session:
        queue = new_id()
        job = expect(session.post(f"{tls.url}/v1/job", json={"job_queue": queue}), 200).json()["job_id"]
        assert session.get(f"{tls.url}/v1/job?queue={queue}").json()["job_id"] == job
        expect(session.get(f"{tls.url}/v1/job?queue={queue}&wait=1"), 204)
        expect(session.get(f"{tls.url}/nope"), 404)


def test_pipelined_and_byte_by_byte(tls):
    with tls.connect() as c:
        c.sendall(GET * 20)
        text = b""
        while text.count(b"Testflinger Server") < 20:
            text += c.recv(65536)
        for byte in GET:
            c.sendall(bytes([byte]))
        assert b"200" in c.recv(65536)


def test_continue(tls):
    with tls.connect() as c:
        c.sendall(b"POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 18\r\nExpect: 100-continue\r\n\r\n")
        assert c.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.sendall(b'{"job_queue": "q"}')
        assert b"200 OK" in c.recv(1000)


@pytest.mark.slow
def test_large_bodies(tls):
    """Up and down, whole and in ranges."""
    data = os.urandom(30_000_000)
    with tls.session() as session:
        job = expect(session.post(f"{tls.url}/v1/job", json={
            "job_queue": new_id(), "test_data": {"attachments": [{"agent": "x"}]}}), 200).json()["job_id"]
        path = f"{tls.url}/v1/job/{job}/attachments"
        expect(session.post(path, files={"file": data}), 200)
        assert expect(session.get(path), 200).content == data
        part = session.get(path, headers={"Range": "bytes=1000000-15000000"})
        assert expect(part, 206).content == data[1000000:15000001]
        text = {"job_queue": new_id(), "test_data": {"test_cmds": "x" * 9_000_000}}
        large = expect(session.post(f"{tls.url}/v1/job", json=text), 200).json()["job_id"]
        assert session.get(f"{tls.url}/v1/job/{large}").json()["test_data"] == text["test_data"]


# Bad clients

def closed_within(c, seconds):
    c.settimeout(seconds)
    try:
        while c.recv(65536):
            pass
    except ConnectionError:
        pass


def test_plain_http_is_closed(tls):
    with socket.create_connection(("127.0.0.1", tls.port.number), 10) as c:
        c.sendall(GET)
        closed_within(c, 2)
    expect(tls.session().get(f"{tls.url}/v1/"), 200)


def test_handshake_has_the_limit_of_a_head(tls):
    hello = bytes.fromhex("16030100c8010000c4")
    silent = socket.create_connection(("127.0.0.1", tls.port.number), 10)
    slow = socket.create_connection(("127.0.0.1", tls.port.number), 10)
    slow.sendall(hello)
    with silent, slow:
        time.sleep(1)
        slow.sendall(b"\x03")
        began = time.monotonic()
        closed_within(silent, 6)
        closed_within(slow, 6)
        assert time.monotonic() - began < 5
    wait_until(lambda: tls.log_contains("--head-timeout"), "it is logged")


def test_garbage(tls):
    for data in (b"\0" * 100, b"\x16\x03\x01" + b"\xff" * 5000, b"\x80" + os.urandom(300), b"\x15\x03\x03\0\x02\x02\x28"):
        with socket.create_connection(("127.0.0.1", tls.port.number), 10) as c:
            c.sendall(data)
            closed_within(c, 6)
    expect(tls.session().get(f"{tls.url}/v1/"), 200)


def test_half_closed(tls):
    """A client that ends its side, with or without a word, costs nothing."""
    pid, = tls.children("frontend")
    for polite in (True, False):
        c = tls.connect()
        c.sendall(GET)
        assert b"200" in c.recv(1000)
        if polite:
            c.setblocking(False)
            try:
                c.unwrap()
            except (ssl.SSLWantReadError, ssl.SSLError, OSError):
                pass
        else:
            c.shutdown(socket.SHUT_WR)
        wait_until(lambda: len(sockets(pid, tls.port.number)) == 0, "it is closed")
        c.close()


def sockets(pid, port):
    """Connections that a process has open on this port."""
    inodes = set()
    for line in open(f"/proc/{pid}/net/tcp").readlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] != "0A":
            inodes.add(f"socket:[{fields[9]}]")
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if link in inodes:
            found.append(fd)
    return found


def test_clients_that_close_before_a_long_answer(certificate):
    """An answer of several pieces, of which the first is written and the second fails: the client
    has gone while so much waited behind its request that nothing was read."""
    with TlsStack(certificate, workers=1) as stack:
        document = {"job_queue": "tls", "test_data": {"test_cmds": "x" * 300_000}}
        job_id = expect(stack.session().post(stack.url + "/v1/job", json=document), 200).json()["job_id"]
        get = f"GET /v1/job/{job_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        workers = stack.children("worker")
        for _ in range(5):
            clients = [stack.connect() for _ in range(10)]
            for client in clients:  # nothing is left unread, so that closing is no reset
                client.sendall(GET)
                answer = b""
                while b"Testflinger Server" not in answer:
                    answer += client.recv(65536)
            stack.freeze(workers)
            for client in clients:
                client.sendall(get + GET * 1000)
            time.sleep(0.2)
            for client in clients:
                client.close()
            stack.thaw(workers)
            expect(stack.session().get(f"{stack.url}/v1/job/{job_id}"), 200)
        expect(stack.session().get(stack.url + "/v1/"), 200)


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="memory says nothing there")
def test_many_connections_leave_nothing(tls):
    pid, = tls.children("frontend")

    def resident():
        for line in open(f"/proc/{pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])

    def round_(n):
        for _ in range(n):
            with tls.connect() as c:
                c.sendall(GET)
                c.recv(1000)

    round_(300)
    before = resident()
    round_(600)
    assert resident() - before < 3000
    wait_until(lambda: not sockets(pid, tls.port.number), "all are closed")


# Files

def start(*options):
    done = subprocess.run([BIN / "testflinger-frontend", *map(str, options)], capture_output=True,
                          text=True, timeout=20)
    return done.returncode, done.stderr


def test_wrong_files(certificate, tmp_path):
    cert, key = certificate
    with Stack("sqlite:{folder}/data.db") as stack:
        port = Port()
        base = ["--listen", f"127.0.0.1:{port.number}", "--bus", stack.folder / "bus"]
        other = make_certificate(tmp_path, "other")
        open_key = tmp_path / "open.key"
        open_key.write_bytes(key.read_bytes())
        open_key.chmod(0o644)
        secret = tmp_path / "secret.key"
        subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", key, "-out", secret],
                       check=True, capture_output=True)
        secret.chmod(0o600)
        for options, text in [
                (["--tls-cert", cert], "tls-key is not set"), (["--tls-key", key], "tls-cert is not set"),
                (["--tls-cert", "/none", "--tls-key", key], "tls-cert: /none"),
                (["--tls-cert", key, "--tls-key", key], "tls-cert"),
                (["--tls-cert", cert, "--tls-key", "/none"], "tls-key: /none: No such file"),
                (["--tls-cert", cert, "--tls-key", other[1]], "tls-key"),
                (["--tls-cert", cert, "--tls-key", secret], "passphrase"),
                (["--tls-cert", cert, "--tls-key", open_key], "mode 0644")]:
            code, said = start(*base, *options)
            assert code == 2 and text in said, said
        port.release()


def subject(stack):
    return openssl(stack, "-servername", "localhost", data=b"Q\n")[1]


@pytest.mark.slow
def test_new_certificate_at_hup(tmp_path):
    cert, key = make_certificate(tmp_path, "old")
    with TlsStack((cert, key)) as stack:
        assert "CN = old" in subject(stack)
        stack.signal(signal.SIGHUP, [])
        master, = set(stack.pids("frontend")) - set(stack.children("frontend"))
        children = stack.children("frontend")
        cert.write_text("broken")
        stack.signal(signal.SIGHUP, [master])
        wait_until(lambda: stack.log_contains("keeping the certificate in use"), "it says so")
        wait_until(lambda: stack.is_complete() and stack.children("frontend") != children,
                   "the child is a new one")
        assert "CN = old" in subject(stack)
        children = stack.children("frontend")
        new = make_certificate(tmp_path, "new")
        cert.write_bytes(new[0].read_bytes())
        key.write_bytes(new[1].read_bytes())
        stack.signal(signal.SIGHUP, [master])
        wait_until(lambda: stack.is_complete() and stack.children("frontend") != children,
                   "the child is a new one")
        wait_until(lambda: "CN = new" in subject(stack), "it has the new certificate")

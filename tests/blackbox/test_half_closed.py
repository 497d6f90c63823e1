"""Clients that end their sending side behind their request, as `nc -N` and some proxies do."""

import io
import json
import os
import socket
import ssl
import threading
import time

import pytest

from client import Api, Raw, Reply, expect
from stack import wait_until
from test_tls import TlsStack, certificate  # noqa: F401 (a fixture)

pytestmark = pytest.mark.waits

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024


def request(path, body=None, **headers):
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\n"
    head += "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return (head + (f"Content-Length: {len(body)}\r\n\r\n" if body is not None else "\r\n")).encode() + (body or b"")


def answers(server, data, pause=0):
    """All answers to these bytes, behind which no more comes; the server closes the connection."""
    found = []
    with Raw(server) as connection:
        connection.send(data)
        time.sleep(pause)
        connection.socket.shutdown(socket.SHUT_WR)
        while True:
            try:
                found.append(connection.reply())
            except ConnectionError:
                return found


@pytest.mark.parametrize("pause", [0, 0.05])
def test_answers(server, api, queue, pause):
    """Each is answered, whether the end comes with the request or behind it, and carried out once."""
    job = json.dumps({"job_queue": queue}).encode()
    for path, body in (("/v1/", None), ("/v1/agents/queues", None), ("/v1/job", job), ("/nowhere", None)):
        for _ in range(5):
            found = answers(server, request(path, body, Content_Type="application/json"), pause)
            assert [a.status_code for a in found] == [404 if path == "/nowhere" else 200], path
    assert len(expect(api.get(f"/v1/queues/{queue}/jobs"), 200).json()) == 5


@pytest.mark.slow
def test_claim(server, api, queue):
    """An agent that does not wait for jobs gets one, and keeps it."""
    for _ in range(5):
        job_id = api.submit(queue)
        (answer,) = answers(server, request(f"/v1/job?queue={queue}"))
        assert answer.json()["job_id"] == job_id
        time.sleep(0.5)
        assert api.state(job_id) == "running"
    (answer,) = answers(server, request(f"/v1/job?queue={queue}"))
    assert answer.status_code == 204


def test_poll_ends(server, api, queue):
    """An agent that waits for a job has left, and loses none."""
    begin = time.monotonic()
    assert answers(server, request(f"/v1/job?queue={queue}&wait=20"), 0.2) == []
    assert time.monotonic() - begin < 10
    job_id = api.submit(queue)
    assert api.claimed(queue) == job_id


def test_pipelined(server, api, queue):
    job_id = api.submit(queue)
    found = answers(server, request("/v1/") + request(f"/v1/job/{job_id}") + request(f"/v1/result/{job_id}"))
    assert [a.status_code for a in found] == [200] * 3


@pytest.mark.parametrize("part", ["head", "body"])
def test_half_a_request(server, part):
    """What is not whole is not served."""
    data = request("/v1/job", b'{"job_queue": "x"}', Content_Type="application/json")
    assert answers(server, data[:20] if part == "head" else data[:-3]) == []


def test_big_answers(server, api, queue):
    """An answer that is longer than what the kernel takes, and a file, to their last byte."""
    job_id = api.submit(queue)
    log = "x" * (6 * MIB)
    expect(api.post(f"/v1/result/{job_id}", {"test_output": log}), 200)
    content = os.urandom(12 * MIB)
    expect(api.post(f"/v1/result/{job_id}/artifact", files={"file": ("a", content)}), 200)
    for path in (f"/v1/result/{job_id}", f"/v1/result/{job_id}/artifact"):
        (answer,) = answers(server, request(path), 0.1)
        assert answer.status_code == 200
        if path.endswith("artifact"):
            assert answer.content == content
        else:
            assert answer.json()["test_output"] == log


def test_upload(server, api, queue):
    job_id = api.submit(queue)
    content = os.urandom(2 * MIB)
    body = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content + b"\r\n--b--\r\n")
    (answer,) = answers(server, request(f"/v1/result/{job_id}/artifact", body,
                                        Content_Type="multipart/form-data; boundary=b"))
    assert answer.status_code == 200
    assert expect(api.get(f"/v1/result/{job_id}/artifact"), 200).content == content


def test_those_who_leave(server, api, queue):
    """Many who close at once cost nothing that lasts, and each request is carried out once."""
    job = request("/v1/job", json.dumps({"job_queue": queue}).encode(), Content_Type="application/json")
    ends = threading.Barrier(8)

    def leave():
        ends.wait()
        for _ in range(10):
            with Raw(server) as connection:
                connection.send(job)

    threads = [threading.Thread(target=leave) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: len(api.get(f"/v1/queues/{queue}/jobs").json()) == 80, "all are stored")


# ---- TLS ----

@pytest.fixture(scope="module")
def tls(certificate):  # noqa: F811
    with TlsStack(certificate) as stack:
        yield stack


@pytest.fixture
def tls_api(tls):
    api = Api(tls.url)
    api.session.verify = str(tls.certificate[0])
    return api


class TlsRaw:
    """A TLS connection whose client ends its sending side in some ways and reads on."""

    def __init__(self, stack):
        context = ssl.create_default_context(cafile=stack.certificate[0])
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes, server_hostname="localhost")
        self.socket = socket.create_connection(("127.0.0.1", stack.port.number), 10)
        self._until_done(self.tls.do_handshake)

    def _flush(self):
        if data := self.goes.read():
            self.socket.sendall(data)

    def _until_done(self, call, *args):
        while True:
            try:
                done = call(*args)
                self._flush()
                return done
            except ssl.SSLWantReadError:
                self._flush()
                data = self.socket.recv(65536)
                if not data:
                    return b""
                self.came.write(data)

    def send(self, data):
        self._until_done(self.tls.write, data)

    def end(self, notify, fin):
        if notify:
            with pytest.raises(ssl.SSLWantReadError):
                self.tls.unwrap()
            self._flush()
        if fin:
            self.socket.shutdown(socket.SHUT_WR)

    def read_all(self):
        """What comes up to the end."""
        parts = []
        while True:
            try:
                part = self._until_done(self.tls.read, 65536)
            except ssl.SSLError:
                part = b""
            if not part:
                return b"".join(parts)
            parts.append(part)


def tls_answers(stack, data, pause, notify, fin):
    connection = TlsRaw(stack)
    connection.send(data)
    time.sleep(pause)
    connection.end(notify, fin)
    file = io.BytesIO(connection.read_all())
    connection.socket.close()
    found = []
    while True:
        try:
            found.append(Reply(file))
        except ConnectionError:
            return found


ENDS = pytest.mark.parametrize("notify,fin", [(True, False), (False, True), (True, True)])


@ENDS
@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("pause", [0, 0.05])
def test_answers_by_tls(tls, tls_api, queue, pause, notify, fin):
    job = json.dumps({"job_queue": queue}).encode()
    for path, body in (("/v1/", None), ("/v1/agents/queues", None), ("/v1/job", job), ("/nowhere", None)):
        for _ in range(5):
            found = tls_answers(tls, request(path, body, Content_Type="application/json"), pause, notify, fin)
            assert [a.status_code for a in found] == [404 if path == "/nowhere" else 200], path
    assert len(expect(tls_api.get(f"/v1/queues/{queue}/jobs"), 200).json()) == 5
    three = request("/v1/") + request("/v1/agents/queues") + request("/v1/")
    assert [a.status_code for a in tls_answers(tls, three, pause, notify, fin)] == [200] * 3


@ENDS
@pytest.mark.slow
@pytest.mark.stores("sqlite")
def test_big_answers_by_tls(tls, tls_api, queue, notify, fin):
    job_id = tls_api.submit(queue)
    expect(tls_api.post(f"/v1/result/{job_id}", {"test_output": "x" * (6 * MIB)}), 200)
    content = os.urandom(4 * MIB)
    expect(tls_api.post(f"/v1/result/{job_id}/artifact", files={"file": ("a", content)}), 200)
    (answer,) = tls_answers(tls, request(f"/v1/result/{job_id}"), 0.1, notify, fin)
    assert len(answer.json()["test_output"]) == 6 * MIB
    (answer,) = tls_answers(tls, request(f"/v1/result/{job_id}/artifact"), 0, notify, fin)
    assert answer.content == content


@ENDS
@pytest.mark.stores("sqlite")
def test_poll_ends_by_tls(tls, tls_api, queue, notify, fin):
    begin = time.monotonic()
    assert tls_answers(tls, request(f"/v1/job?queue={queue}&wait=20"), 0.2, notify, fin) == []
    assert time.monotonic() - begin < 10
    job_id = tls_api.submit(queue)
    assert tls_api.claimed(queue) == job_id


@ENDS
@pytest.mark.stores("sqlite")
def test_half_a_request_by_tls(tls, notify, fin):
    data = request("/v1/job", b'{"job_queue": "x"}', Content_Type="application/json")
    assert tls_answers(tls, data[:20], 0.05, notify, fin) == tls_answers(tls, data[:-3], 0.05, notify, fin) == []

"""Unwanted bodies: a worker decides by the head, and a refused body is neither read nor stored."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import auth
from client import Api, Raw, expect, new_id
from mongo import Mongod
from stack import Stack, wait_until

# Bodies wait in memory or in the spool of the frontend; the store gets pieces, as in test_files.py.
pytestmark = pytest.mark.stores("sqlite")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MULTIPART = "multipart/form-data; boundary=B"
CONTINUE = b"HTTP/1.1 100 Continue\r\n"


def part(content):
    return (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content
            + b"\r\n--B--\r\n")


def artifact(job):
    return f"/v1/result/{job}/artifact"


def attachments(job):
    return f"/v1/job/{job}/attachments"


def head(path, *lines, length=None, expect_continue=False, method="POST"):
    """The head of a request with a body: chunked where no length is given."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    more = [*lines, framing] + (["Expect: 100-continue"] if expect_continue else [])
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *more, "", ""]).encode()


def token_line(headers):
    return [f"{name}: {value}" for name, value in headers.items()]


def temporary_files(stack):
    """Unlinked files that the frontend has open."""
    found = []
    for pid in stack.children("frontend"):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if target.endswith("(deleted)") and target.startswith("/") and "memfd" not in target:
                found.append(target)
    return found


def written_bytes(stack):
    """Bytes that the frontend has written to disks."""
    return sum(int(line.split()[1]) for pid in stack.children("frontend")
               for line in Path(f"/proc/{pid}/io").read_text().splitlines()
               if line.startswith("write_bytes"))


# Strangers

FORGED = token_line(auth.bearer("not-a-token"))
AGENT = token_line(auth.as_role("agent"))
USER = token_line(auth.as_role("contributor"))
# mode: [(path, lines, status)]
STRANGERS = {
    "login": [(path, lines, status) for path in (artifact(new_id()), attachments(new_id()), "/v1/job",
                                                 f"/v1/result/{new_id()}", "/v1/agents/data/a")
              for lines, status in (([], 401), (FORGED, 403))],
    "roles": [(artifact(new_id()), [], 403), (artifact(new_id()), FORGED, 403),
              (artifact(new_id()), USER, 403), (attachments(new_id()), [], 422),
              (attachments("no-id"), [], 400), (attachments(new_id()), AGENT, 403),
              (f"/v1/result/{new_id()}", [], 403), ("/v1/agents/data/a", [], 403)],
    "open": [(artifact("no-id"), [], 400), (attachments("no-id"), [], 400),
             (attachments(new_id()), [], 422), ("/v1/client-permissions/x", [], 403)],
}


def test_another_agent_is_refused_before_its_body(private, queue):
    """With --agent-identity token: only the agent that holds the job may upload."""
    stack = private("--auth", "roles", "--agent-identity", "token", env=auth.ENV)
    api = Api(stack.url)
    own, other = (auth.as_role("agent", name) for name in ("own", "other"))
    job = api.submit(queue)
    expect(api.post("/v1/agents/data/own", {"queues": [queue]}, headers=own), 200)
    cookie = {"Cookie": "agent_name=own"}
    expect(api.get("/v1/job", params={"queue": queue}, headers={**own, **cookie}), 200)
    for path in (artifact(job), f"/v1/result/{job}", f"/v1/result/{job}/log/output",
                 "/v1/agents/data/own"):
        for headers, status in ((other, 403), (own, 100)):
            with Raw(stack) as connection:
                connection.send(head(path, *token_line(headers), length=MIB, expect_continue=True))
                assert connection.reply().status_code == status, (path, status)


def send_until_refused(connection, data, most):
    """Sends up to `most` bytes; stops when the server no longer reads."""
    try:
        for _ in range(0, most, len(data)):
            connection.send(data)
    except OSError:
        pass


@pytest.mark.parametrize("mode", STRANGERS)
def test_strangers_write_nothing(private, mode):
    """In a folder that is missing: each try to make a temporary file is logged, and answered with 507."""
    stack = private("--auth", mode, "--spool", "/nonexistent/spool", "--max-spool", 10 * GIB,
                    env=auth.ENV)
    before = written_bytes(stack)
    for path, lines, status in STRANGERS[mode]:
        method = "PUT" if "permissions" in path else "POST"
        for length in (MIB, None):
            for expects in (True, False):
                with Raw(stack) as connection:
                    connection.send(head(path, *lines, length=length, expect_continue=expects,
                                         method=method))
                    if not expects:
                        data = b"x" * 65536
                        send_until_refused(connection, data if length else b"10000\r\n" + data + b"\r\n",
                                           MIB)
                    reply = connection.reply()
                    assert reply.status_code == status, (path, lines, length, expects, reply.content)
    assert temporary_files(stack) == []
    assert "temporary file" not in stack.log()
    assert written_bytes(stack) - before < 64 * KIB  # its log


def test_a_gibibyte_is_refused_at_once(private):
    """The connection closes in order: the client sees the answer, and no reset."""
    stack = private("--auth", "login", env=auth.ENV)
    for length in (GIB, None):
        with Raw(stack) as connection:
            began = time.monotonic()
            connection.send(head(artifact(new_id()), length=length))
            piece = b"x" * MIB
            for _ in range(3):
                connection.send(piece if length else b"%x\r\n" % len(piece) + piece + b"\r\n")
            if not length:  # a body of unknown length is read for a while
                send_until_refused(connection, b"%x\r\n" % len(piece) + piece + b"\r\n", 80 * MIB)
            reply = connection.reply()
            assert reply.status_code == 401 and time.monotonic() - began < 10
            if length:
                assert reply.headers["Connection"] == "close"
                assert connection.is_closed()
    assert temporary_files(stack) == []


def test_a_refused_body_is_dropped_and_the_connection_goes_on(private):
    stack = private("--auth", "roles", env=auth.ENV)
    with Raw(stack) as connection:
        for _ in range(3):
            connection.send(head(artifact(new_id()), length=MIB) + b"x" * MIB)
            connection.send(head(artifact(new_id())) + b"8\r\nabcdefgh\r\n" * 20000 + b"0\r\n\r\n"
                            + b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert [connection.reply().status_code for _ in range(3)] == [403, 403, 200]
        connection.send(head(artifact(new_id())) + b"zz\r\n")
        assert connection.reply().status_code == 403
        assert connection.is_closed()
    expect(Api(stack.url).get("/v1/"), 200)


@pytest.mark.stores("sqlite", "mongodb")
def test_a_second_upload_of_attachments_needs_no_body(api, server, queue):
    """The attachments are complete: 200, and the body is dropped."""
    job = api.submit(queue, test_data={"attachments": [{"agent": "a"}]})
    body = part(b"a" * MIB)
    expect(api.post_body(attachments(job), body, MULTIPART), 200, "OK")
    with Raw(server) as connection:
        connection.send(head(attachments(job), length=len(body)) + body)
        connection.send(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [connection.reply().status_code for _ in range(2)] == [200, 200]
        connection.send(head(attachments(job), length=len(body), expect_continue=True))
        assert connection.reply().content == b"OK"


# Accepted bodies

@pytest.mark.parametrize("length", ["known", "chunked"])
def test_a_yes_is_continue(private, length):
    stack = private("--auth", "login", env=auth.ENV)
    job, body = new_id(), part(os.urandom(300 * KIB))
    lines = [*AGENT, f"Content-Type: {MULTIPART}"]
    with Raw(stack) as connection:
        for _ in range(2):
            connection.send(head(artifact(job), *lines, expect_continue=True,
                                 length=len(body) if length == "known" else None))
            assert connection.file.readline() == CONTINUE and connection.file.readline() == b"\r\n"
            time.sleep(0.3)
            for at in range(0, len(body), 50000):
                piece = body[at:at + 50000]
                connection.send(piece if length == "known"
                                else b"%x\r\n" % len(piece) + piece + b"\r\n")
                time.sleep(0.02)
            connection.send(b"" if length == "known" else b"0\r\n\r\n")
            assert connection.reply().content == b"OK"
        connection.send(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.reply().status_code == 200
    user = auth.as_role("contributor")
    assert part(Api(stack.url).get(artifact(job), headers=user).content) == body


def test_expect_with_a_small_body(server, queue):
    """100 Continue comes when the body may come; no worker is asked."""
    body = json.dumps({"job_queue": queue}).encode()
    with Raw(server) as connection:
        for _ in range(3):
            connection.send(head("/v1/job", "Content-Type: application/json", length=len(body),
                                 expect_continue=True))
            assert connection.file.readline() == CONTINUE and connection.file.readline() == b"\r\n"
            connection.send(body)
            assert connection.reply().status_code == 200


def document(queue, size):
    """A job whose body has that many bytes."""
    text = json.dumps({"job_queue": queue, "name": "n"})
    return json.dumps({"job_queue": queue, "name": "n" * (size - len(text) + 1)}).encode()


@pytest.mark.parametrize("size", [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 300 * KIB,
                                  pytest.param(8 * MIB, marks=pytest.mark.slow)])
@pytest.mark.parametrize("piece", [None, 4096, 70000])
def test_documents_around_the_limit_of_memory(api, queue, size, piece):
    body = document(queue, size)
    assert len(body) == size
    pieces = body if not piece else (body[i:i + piece] for i in range(0, size, piece))
    job = expect(api.post_body("/v1/job", pieces), 200).json()["job_id"]
    assert len(api.get(f"/v1/job/{job}").json()["name"]) == len(json.loads(body)["name"])


def test_what_is_larger_than_64_kib_goes_to_the_spool(private, queue):
    stack = private("--spool", "/nonexistent/spool", "--max-spool", GIB, workers=1)
    api = Api(stack.url)
    expect(api.post_body("/v1/job", document(queue, 64 * KIB)), 200)
    assert "temporary file" not in stack.log()
    refused = expect(api.post_body("/v1/job", document(queue, 64 * KIB + 1)), 507)
    assert refused.headers["Retry-After"]
    assert "temporary file" in stack.log()
    small = part(b"x" * (60 * KIB))
    expect(api.post_body(artifact(new_id()), small, MULTIPART), 200, "OK")
    expect(api.post_body(artifact(new_id()), part(b"x" * (65 * KIB)), MULTIPART), 507)


@pytest.mark.stores("sqlite", "mongodb")
def test_the_largest_text(api, store):
    """A MongoDB document, with all the server adds, holds at most 16 MiB."""
    job, size = new_id(), 16 * MIB - (1 if store == "sqlite" else 64 * KIB)
    expect(api.post_body(f"/v1/result/{job}/output", b"x" * size, "text/plain"), 200, "OK")
    assert len(api.get(f"/v1/result/{job}/output").content) == size


# Many at once

@pytest.mark.slow
def test_large_documents_take_turns(private):
    """Their copies for the bus would not fit into memory all at once."""
    stack = private("--max-body-memory", 64 * MIB, "--request-timeout", 30000)
    jobs, text = [new_id() for _ in range(8)], b"x" * (15 * MIB)
    with ThreadPoolExecutor(len(jobs)) as pool:
        found = list(pool.map(lambda job: Api(stack.url).post_body(
            f"/v1/result/{job}/output", text, "text/plain").status_code, jobs))
    assert found == [200] * len(jobs)

@pytest.mark.slow
def test_pipelined_uploads_open_no_files(private):
    """Each once opened a temporary file long before its turn."""
    stack = private()
    frontend = stack.children("frontend")[0]
    many, job = 4400, new_id()
    one = head(artifact(job), length=1) + b"x"
    idle = len(os.listdir(f"/proc/{frontend}/fd"))
    with Raw(stack) as connection:
        connection.socket.settimeout(60)
        sent, answered, most = 0, 0, 0
        while answered < many:
            while sent < many and sent - answered < 400:
                connection.send(one * 100)
                sent += 100
            for _ in range(100):
                assert connection.reply().status_code == 400
            answered += 100
            most = max(most, len(os.listdir(f"/proc/{frontend}/fd")))
            assert temporary_files(stack) == []
        assert most <= idle + 3
    expect(Api(stack.url).get("/v1/"), 200)


def test_max_spool(private, queue):
    stack = private("--max-spool", 2 * MIB, workers=1)
    api, first = Api(stack.url), part(b"f" * (700 * KIB))
    lines = [f"Content-Type: {MULTIPART}"]
    with Raw(stack) as connection:
        connection.send(head(artifact(new_id()), *lines, length=len(first)) + first[:-1])
        wait_until(lambda: temporary_files(stack), "the first is in the spool")
        for body, path, kind in [(part(b"s" * (600 * KIB)), artifact(new_id()), MULTIPART),
                                 (document(queue, 600 * KIB), "/v1/job", "application/json")]:
            for sent in (body, (body[i:i + 10000] for i in range(0, len(body), 10000))):
                refused = expect(api.post_body(path, sent, kind), 507)
                assert refused.headers["Retry-After"] == "10"
                assert "no room" in refused.json()["message"]
        expect(api.post_body("/v1/job", document(queue, 64 * KIB)), 200)
        # Another address gets its part.
        body, sent = part(b"o" * (600 * KIB)), artifact(new_id())
        with socket.create_connection(("127.0.0.1", stack.port.number), 10, ("127.0.0.9", 0)) as other:
            other.sendall(head(sent, *lines, "Connection: close", length=len(body)) + body)
            assert b"".join(iter(lambda: other.recv(65536), b"")).endswith(b"\r\n\r\nOK")
        with Raw(stack) as other:  # known by its length
            other.send(head(artifact(new_id()), *lines, length=900 * KIB, expect_continue=True))
            assert other.reply().status_code == 507
        connection.send(first[-1:])
        assert connection.reply().content == b"OK"
    assert "--max-spool" in stack.log()
    wait_until(lambda: not temporary_files(stack), "the spool is empty")
    expect(api.post_body("/v1/job", document(queue, 600 * KIB)), 200)
    expect(api.post_body(artifact(new_id()), first, MULTIPART), 200, "OK")


def test_max_spool_after_a_death(private):
    """What a dead process had spooled no longer counts."""
    stack = private("--max-spool", 2 * MIB, frontends=1)
    body = part(b"f" * (900 * KIB))
    with Raw(stack) as connection:
        connection.send(head(artifact(new_id()), f"Content-Type: {MULTIPART}", length=len(body))
                        + body[:-1])
        wait_until(lambda: temporary_files(stack), "it is in the spool")
        dead = stack.kill("frontend")
        wait_until(lambda: stack.children("frontend") not in ([], [dead]), "another one is there")
    expect(Api(stack.url).post_body(artifact(new_id()), body, MULTIPART), 200, "OK")


# What happens while a worker is asked

def test_workers_die_while_they_are_asked(private):
    stack = private(workers=2)
    workers = stack.children("worker")
    stack.signal(signal.SIGSTOP, workers)
    body = part(b"x" * (100 * KIB))
    with Raw(stack) as connection:
        connection.send(head(artifact(new_id()), f"Content-Type: {MULTIPART}", length=len(body),
                             expect_continue=True))
        time.sleep(0.3)
        stack.signal(signal.SIGKILL, workers)
        assert connection.file.readline() == CONTINUE and connection.file.readline() == b"\r\n"
        connection.send(body)
        assert connection.reply().content == b"OK"


@pytest.mark.slow
@pytest.mark.stores("sqlite")  # the store takes no part in this
def test_a_refusal_of_a_process_that_ends(private):
    """The answer ends the connection while the body still comes: the client can send all of it and
    reads the answer then, as most do."""
    stack = private("--auth", "login", workers=1, env=auth.ENV)
    workers, body = stack.children("worker"), b"x" * (3 * MIB)
    old, = stack.children("frontend")
    stack.freeze(workers)
    with Raw(stack) as connection:
        connection.send(head(attachments(new_id()), length=len(body)) + body[:1000])
        time.sleep(0.3)
        os.kill(old, signal.SIGTERM)
        time.sleep(0.3)
        stack.thaw(workers)
        for at in range(1000, len(body), 100_000):
            connection.send(body[at:at + 100_000])
            time.sleep(0.01)
        answer = connection.reply()
        assert (answer.status_code, answer.headers["connection"]) == (401, "close")


def test_clients_go_while_a_worker_is_asked(private):
    stack = private(workers=1)
    workers = stack.children("worker")
    stack.freeze(workers)
    try:
        for expects in (True, False):
            for _ in range(20):
                with Raw(stack) as connection:
                    connection.send(head(artifact(new_id()), length=10 * MIB, expect_continue=expects)
                                    + (b"" if expects else b"x" * 50000))
    finally:
        time.sleep(0.3)
        stack.thaw(workers)
    expect(Api(stack.url).get("/v1/agents/data"), 200)
    assert temporary_files(stack) == []


def test_clients_go_while_their_body_comes(private):
    stack = private(workers=1)
    connections = []
    for _ in range(20):
        connections.append(Raw(stack).send(head(artifact(new_id()), length=10 * MIB) + b"x" * 200000))
    wait_until(lambda: len(temporary_files(stack)) == 20, "all are in the spool")
    for connection in connections:
        connection.__exit__()
    wait_until(lambda: not temporary_files(stack), "nothing is left")
    expect(Api(stack.url).get("/v1/"), 200)


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_the_store_is_away_while_it_is_asked(store):
    mongod = Mongod()
    try:
        with Stack(mongod.uri("asked"), "--store-timeout", 1000) as stack:
            api = Api(stack.url)
            expect(api.get("/v1/agents/data"), 200)
            job = api.submit("q", test_data={"attachments": [{"agent": "a"}]})
            mongod.stop()
            for expects in (True, False):
                began = time.monotonic()
                with Raw(stack) as connection:
                    connection.send(head(attachments(job), length=MIB, expect_continue=expects))
                    reply = connection.reply()
                    assert reply.status_code == 503 and reply.headers["Retry-After"]
                    assert time.monotonic() - began < 5
            assert temporary_files(stack) == []
            mongod.start()
            wait_until(lambda: api.post_body(attachments(job), part(b"a" * MIB), MULTIPART)
                       .status_code == 200, "it is taken")
    finally:
        mongod.remove()


# Slow ones

def test_slow_uploads(private):
    stack = private(workers=1)
    body = part(b"s" * (20 * KIB))
    lines = [f"Content-Type: {MULTIPART}"]
    connections = [Raw(stack).send(head(artifact(new_id()), *lines, length=len(body)))
                   for _ in range(10)]
    for at in range(0, len(body), 2000):
        for connection in connections:
            connection.send(body[at:at + 2000])
        time.sleep(0.1)
    for connection in connections:
        assert connection.reply().content == b"OK"
        connection.__exit__()


def test_bytes_one_by_one(private, queue):
    """A document and an upload whose every byte is a segment of its own."""
    stack = private(workers=1)
    texts = [head("/v1/job", "Content-Type: application/json", length=2000) + document(queue, 2000),
             head(artifact(new_id()), f"Content-Type: {MULTIPART}") + b"".join(
                 b"1\r\n%c\r\n" % byte for byte in part(b"x" * 200)) + b"0\r\n\r\n"]
    for text in texts:
        with Raw(stack) as connection:
            connection.socket.setsockopt(6, 1, 1)
            for i in range(len(text)):
                connection.send(text[i:i + 1])
            assert connection.reply().status_code == 200

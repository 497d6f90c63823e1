"""Large files: what they cost in memory, slow clients, faults in the middle."""

import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from client import Api, Raw, expect, new_id
from stack import SANITIZED, wait_until
from storage import storage_of

MIB = 1 << 20
RSS_LIMIT = 32 * MIB  # above idle, of each process
LARGE = (32 if SANITIZED else 256) * MIB  # a build that is slow, and whose memory says nothing, gets less


def artifact(job):
    return f"/v1/result/{job}/artifact"


class Body:
    """A multipart body with a file of pseudo-random bytes that is never whole in memory."""

    def __init__(self, size):
        self.size = size
        self.block = os.urandom(MIB)
        self.digest = None
        self.head = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
        self.end = b"\r\n--B--\r\n"

    def __len__(self):
        return len(self.head) + self.size + len(self.end)

    def __iter__(self):
        digest = hashlib.sha256()
        yield self.head
        for i in range(0, self.size, MIB):
            piece = (i.to_bytes(8, "big") + self.block)[:min(MIB, self.size - i)]
            digest.update(piece)
            yield piece
        self.digest = digest.hexdigest()
        yield self.end


def upload(server, job, size):
    """Uploads with a Content-Length; returns the digest."""
    body = Body(size)
    with socket.create_connection(("127.0.0.1", server.port.number), 120) as connection:
        connection.sendall(
            f"POST {artifact(job)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(body)}\r\n\r\n"
            .encode())
        for piece in body:
            connection.sendall(piece)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nOK"), answer[:500]
    return body.digest


def download(server, job):
    digest, size = hashlib.sha256(), 0
    with Api(server.url).get(artifact(job), stream=True, timeout=120) as response:
        expect_length = int(response.headers["Content-Length"])
        for piece in response.iter_content(MIB):
            digest.update(piece)
            size += len(piece)
    assert size == expect_length
    return digest.hexdigest()


def anonymous_memory(pids):
    """{pid: bytes} of these processes."""
    found = {}
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                found[pid] = int(line.split()[1]) * 1024
    return found


class Memory:
    """Watches that no process grows by more than RSS_LIMIT (in builds without sanitizers)."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.idle = anonymous_memory(self.server.tree())
        self.grown = dict.fromkeys(self.idle, 0)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.over.wait(0.02):
            for pid, size in anonymous_memory(self.idle).items():
                self.grown[pid] = max(self.grown[pid], size - self.idle[pid])

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        names = {pid: name for pid, (_, name) in self.server.tree().items()}
        grown = {f"{names[pid]} {pid}": f"{n / MIB:.1f} MiB" for pid, n in self.grown.items()}
        if not kind and not SANITIZED:
            assert max(self.grown.values()) <= RSS_LIMIT, grown


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_large_file_up_and_down(private):
    server = private(workers=2)
    job = new_id()
    expect(Api(server.url).get("/v1/job?queue=x"), 204)
    with Memory(server):
        sent = upload(server, job, LARGE)
        assert download(server, job) == sent


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_eight_uploads_at_once(private):
    server = private(workers=2)
    jobs, sent = [new_id() for _ in range(8)], {}
    expect(Api(server.url).get("/v1/job?queue=x"), 204)

    def run(job):
        sent[job] = upload(server, job, LARGE // len(jobs))

    with Memory(server):
        threads = [threading.Thread(target=run, args=[job]) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(sent) == sorted(jobs)
    for job in jobs:
        assert download(server, job) == sent[job]


# Faults


def part(content):
    return (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content
            + b"\r\n--B--\r\n")


def put(api, job, content):
    return api.post_body(artifact(job), part(content), "multipart/form-data; boundary=B")


def begin_download(server, job):
    """A connection on which the head of the answer was read, and the length of the body."""
    connection = Raw(server)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.send(f"GET {artifact(job)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    lines = list(iter(lambda: connection.file.readline().strip(), b""))
    assert lines[0].startswith(b"HTTP/1.1 200"), lines
    length = next(line for line in lines if line.lower().startswith(b"content-length:"))
    return connection, int(length.split(b":")[1])


@pytest.mark.alone
@pytest.mark.slow
def test_slow_readers_hold_no_worker(private):
    """More of them than workers, each reading a little."""
    server = private(workers=1)
    api, job, content = Api(server.url), new_id(), os.urandom(12 * MIB)
    expect(put(api, job, content), 200)
    readers = [begin_download(server, job)[0] for _ in range(4)]
    for _ in range(10):
        start = time.monotonic()
        for reader in readers:
            assert len(reader.file.read(1024)) == 1024
        expect(api.get("/v1/job?queue=x"), 204)
        assert time.monotonic() - start < 2
        time.sleep(0.1)
    rest = readers[0].file.read(len(content) - 10 * 1024)
    assert rest == content[10 * 1024:]
    for reader in readers:
        reader.socket.close()
    expect(api.get("/v1/"), 200)


def test_an_upload_that_is_cut_changes_nothing(private):
    server = private(workers=1)
    api, job = Api(server.url), new_id()
    expect(put(api, job, b"old"), 200)
    body = part(b"n" * (3 * MIB))
    with Raw(server) as connection:
        connection.send(f"POST {artifact(job)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                        "Content-Type: multipart/form-data; boundary=B\r\n\r\n".encode())
        connection.send(body[:2 * MIB])
        time.sleep(0.2)
    assert api.get(artifact(job)).content == b"old"
    assert stored_bytes(server) == 3


def stored_bytes(server):
    storage = storage_of(server)
    if hasattr(storage, "db"):
        return sum(len(c["data"]) for c in storage.db.fs.chunks.find())
    return storage._run("SELECT sum(length(data)) FROM file_chunks")[0][0]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system with room for 4 MiB."""
    if os.getuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "none", tmp_path]).returncode:
        pytest.skip("mounting a file system takes root")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_spool_without_room(private, tiny_disk):
    server = private("--spool", tiny_disk, "--max-spool", 1 << 30, workers=1)
    api, job = Api(server.url), new_id()
    expect(put(api, job, b"x" * (2 * MIB)), 200, "OK")
    for _ in range(3):
        refused = expect(put(api, job, b"y" * (6 * MIB)), 507)
        assert "no room on its disk" in refused.json()["message"]
    assert server.log_contains("make room there, or name another folder with --spool")
    assert api.get(artifact(job)).content == b"x" * (2 * MIB)
    expect(put(api, job, b"z" * (3 * MIB)), 200, "OK")
    expect(api.get("/v1/job?queue=x"), 204)


@pytest.mark.slow
def test_a_download_whose_file_goes_is_cut(private):
    server = private(workers=1)
    api, job = Api(server.url), new_id()
    content = os.urandom(40 * MIB)
    expect(put(api, job, content), 200)
    connection, length = begin_download(server, job)
    expect(put(api, job, b"new"), 200)
    storage = storage_of(server)
    if hasattr(storage, "db"):
        storage.db.fs.chunks.delete_many({"n": {"$gt": 100}})
    else:
        storage._run("DELETE FROM file_chunks WHERE n > 100")
    got = b""
    try:
        got = connection.file.read()
    except ConnectionError:
        pass
    assert length == len(content) and len(got) < length and content.startswith(got)
    assert api.get(artifact(job)).content == b"new"
    wait_until(lambda: server.log_contains("replaced or removed meanwhile"), "the reason is logged")


def test_readers_of_a_replaced_file_get_it_whole(private):
    server = private(workers=1)
    api, job, content = Api(server.url), new_id(), os.urandom(20 * MIB)
    expect(put(api, job, content), 200)
    connection, length = begin_download(server, job)
    expect(put(api, job, b"new"), 200)
    assert connection.file.read(length) == content


@pytest.mark.slow
@pytest.mark.parametrize("role", ["worker", "broker"])
def test_death_of_a_process_in_the_middle(private, role):
    server = private(workers=2)
    api, job, content = Api(server.url), new_id(), os.urandom(48 * MIB)
    done = []
    thread = threading.Thread(target=lambda: done.append(put(api, job, content)))
    thread.start()
    time.sleep(0.5)
    server.kill(role)
    thread.join()
    expect(done[0], 200, "OK")
    connection, length = begin_download(server, job)
    server.kill(role)
    assert connection.file.read(length) == content


def test_a_client_that_goes_leaves_nothing(private):
    server = private(workers=1)
    api, job = Api(server.url), new_id()
    expect(put(api, job, os.urandom(20 * MIB)), 200)
    for _ in range(20):
        connection, _ = begin_download(server, job)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.file.close()
        connection.socket.close()
    expect(api.get("/v1/job?queue=x"), 204)
    assert api.get(artifact(job)).status_code == 200


@pytest.mark.slow
def test_a_running_download_ends_before_the_server(private):
    server = private(workers=1)
    api, job, content = Api(server.url), new_id(), os.urandom(20 * MIB)
    expect(put(api, job, content), 200)
    connection, length = begin_download(server, job)
    server.undisturbed = None
    server.process.send_signal(signal.SIGTERM)
    got = connection.file.read(length)
    assert got == content
    server.process.wait(15)
    server.launch()
    wait_until(server.is_complete, "it is there again")

"""A foreign or broken process on the bus does no lasting harm to the others."""

import os
import re
import socket
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client import Api, expect
from stack import BIN, FAULTS, ROOT, Port, Stack, wait_until
from test_broker import (API, HELLO, ID, PING, READY, REPLY, REQUEST, WEBHOOK, Frontend, broker, pack,
                         start, unpack)

# What comes over the bus is read before a store is asked.
pytestmark = pytest.mark.stores("sqlite")

zmq = pytest.importorskip("zmq")
msgpack = pytest.importorskip("msgpack")

OPS = {name: int(wire) for name, wire in re.findall(
    r"^(?:API|LOGIN|WEBHOOK)\((\w+),[^)]*?\.wire = (\d+)", (ROOT / "common/api.def").read_text(), re.M)}
HEADERS = len(re.findall(r"^HEADER\(", (ROOT / "common/headers.def").read_text(), re.M))
UNREADABLE = b"a worker could not read the request"


def envelope(id_, op="OP_READYZ", **changes):
    """A request; a change to None leaves the key out."""
    fields = {0: 1, 1: str(uuid.UUID(bytes=id_)).encode(), 2: OPS.get(op, op), 3: 0,
              4: int(time.time() * 1e6), 5: [], 6: [], 7: [None] * HEADERS, 8: b"127.0.0.1", 9: b""}
    fields.update({int(key[1:]): value for key, value in changes.items()})
    return msgpack.packb({k: v for k, v in fields.items() if v is not None})


def status_and_body(payload):
    fields = msgpack.unpackb(payload, strict_map_key=False)
    return fields[1], fields[3]


def reply_of(pair):
    assert pair["type"] == REPLY, pair
    return status_and_body(pair["payload"])


class Intruder(Frontend):
    """A frontend of this file on the bus of a whole server."""

    def __init__(self, stack):
        self.context = zmq.Context()
        super().__init__(self.context, f"ipc://{stack.folder}/bus/broker-0.frontends")

    def ask(self, payload, service=API, **fields):
        """Status and body of the answer to payload(id), id being the request's."""
        id_ = uuid.uuid4().bytes
        self.request(payload(id_) if callable(payload) else payload, id=id_, service=service, **fields)
        answer = self.answer()
        assert answer["id"] == id_
        return reply_of(answer)

    def close(self):
        super().close()
        self.context.term()


BAD = {
    "empty": b"",
    "no msgpack": b"\xc1" * 50,
    "an array": msgpack.packb([1, 2, 3]),
    "too deep": b"\x91" * 300 + b"\x90",
    "another version": lambda i: envelope(i, _0=2),
    "no body": lambda i: envelope(i, _9=None),
    "operation of a later release": lambda i: envelope(i, 60000),
    "operation of another service": lambda i: envelope(i, "OP_TOKEN"),
    "operation of frontends": lambda i: envelope(i, 0),
    "another id": lambda i: envelope(i, _1=str(uuid.uuid4()).encode()),
    "no parameter": lambda i: envelope(i, "OP_JOB_GET"),
    "two parameters": lambda i: envelope(i, "OP_RESULT_GET", _5=[b"a", b"b"]),
    "a parameter too many": lambda i: envelope(i, _5=[b"a"]),
    "no UTF-8 in a parameter": lambda i: envelope(i, "OP_AGENT_GET", _5=[b"\xff\xfe"]),
    "no UTF-8 in the query": lambda i: envelope(i, "OP_JOB_CLAIM", _6=[b"queue", b"\xed\xa0\x80"]),
    "too many parameters": lambda i: envelope(i, _5=[b"a"] * 3),
    "cut": lambda i: envelope(i)[:-1],
}


@pytest.fixture(scope="module")
def server():
    with Stack(workers=1, webhooks=1) as stack:
        yield stack


@pytest.fixture
def intruder(server):
    peer = Intruder(server)
    yield peer
    peer.close()


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
def test_a_request_that_a_worker_cannot_read_is_answered(server, intruder, payload):
    """More often than there are workers: each would wait for ever for a bundle that never ends."""
    for _ in range(3):
        status, body = intruder.ask(payload)
        assert status == 500 and UNREADABLE in body
    assert intruder.ask(envelope)[0] == 200
    expect(Api(server.url).get("/readyz"), 200)


def test_webhook_workers_answer_it_as_well(server, intruder):
    """More often than its window has room for; the request of another service, too."""
    for payload in (b"", lambda i: envelope(i, "OP_JOB_GET", _5=[b"x"])):
        for _ in range(20):
            status, body = intruder.ask(payload, service=WEBHOOK)
            assert status == 500 and UNREADABLE in body
    job = str(uuid.uuid4()).encode()
    status, body = intruder.ask(lambda i: envelope(i, "OP_JOB_EVENTS", _5=[job], _9=b"{}"), WEBHOOK)
    assert UNREADABLE not in body and status < 500


def test_others_of_its_bundle_are_served(server, intruder):
    """Requests that came while the one worker was busy meet in bundles."""
    ids = [uuid.uuid4().bytes for _ in range(300)]
    for n, id_ in enumerate(ids):
        intruder.request(envelope(id_) if n % 3 else b"?", id=id_)
    answers = {}
    while len(answers) < len(ids):
        pair = intruder.answer()
        answers[pair["id"]] = reply_of(pair)[0]
    assert [answers[i] for i in ids] == [200 if n % 3 else 500 for n in range(len(ids))]


def test_the_log_says_it_once_a_second(server, intruder):
    before, begun = server.log().count("of the bus with 500"), time.monotonic()
    for _ in range(500):
        intruder.ask(b"?")
    told, seconds = server.log().count("of the bus with 500") - before, time.monotonic() - begun
    assert told <= seconds + 2


class PlayedBroker:
    """One side of a broker that this file plays, and a real process of a role on it."""

    def __init__(self, folder, side, role, *options):
        bus = folder / "bus"
        bus.mkdir(mode=0o700)
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(f"ipc://{bus}/broker-0.{side}")
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [BIN / f"testflinger-{role}", "--bus", bus, "--processes", "1", "--heartbeat", "5000",
                 *map(str, options)], cwd=folder, stderr=log)

    def take(self, *types):
        """The next pairs of these types: the peer, then header and payload of each."""
        while True:
            assert self.socket.poll(30000), self.log.read_text()
            pairs = self.next()
            if pairs and pairs[0][0]["type"] in types:
                return self.peer, pairs

    def next(self):
        """The pairs of the next message, whose sender is self.peer; [] when somebody joined."""
        self.peer, *frames = self.socket.recv_multipart()
        if frames == [b""]:
            self.send(self.peer, pack(HELLO, instance=7), b"")
            return []
        return [(unpack(h), p) for h, p in zip(frames[::2], frames[1::2])]

    def say(self, *frames):
        """Sends this to the last sender. A process that could not run for a while joins anew and drops
        what it has not read, so a test may have to say it again."""
        while self.socket.poll(0):
            self.next()
        self.send(self.peer, *frames)

    def send(self, peer, *frames):
        self.socket.send_multipart([peer, *frames])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        status = self.process.wait(20)
        self.context.destroy(linger=0)
        assert kind or status == 0
        assert not FAULTS.search(self.log.read_text())


def test_a_bundle_beyond_the_limit(tmp_path):
    """Each request is answered, also where a broker sends more than a bundle holds."""
    with PlayedBroker(tmp_path, "workers", "worker", "--store", f"sqlite:{tmp_path}/data.db") as broker:
        while True:
            worker, pairs = broker.take(READY)
            if pairs[0][0]["service"] == API:
                break
        ids = [uuid.uuid4().bytes for _ in range(40)]
        broker.send(worker, *(frame for i in ids for frame in (pack(REQUEST, id=i), envelope(i))))
        answered = {}
        while len(answered) < len(ids):
            _, pairs = broker.take(REPLY)
            for head, payload in pairs:
                assert head["id"] not in answered
                answered[head["id"]] = status_and_body(payload)[0]
        assert [answered[i] for i in ids] == [200] * 32 + [500] * 8


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def lonely_frontend(tmp_path_factory):
    """A real frontend and the broker that this file plays for it."""
    port = Port()
    with PlayedBroker(tmp_path_factory.mktemp("frontend"), "frontends", "frontend",
                      "--listen", f"127.0.0.1:{port.number}") as broker:
        broker.port, broker.url = port, f"http://127.0.0.1:{port.number}"
        wait_until(lambda: is_open(port.number), "the frontend listens")
        yield broker
    port.release()


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgpack.packb({0: 1, 1: 200}),
                                     msgpack.packb({0: 1, 1: 99, 2: [], 3: b""}),
                                     msgpack.packb({0: 9, 1: 200, 2: [], 3: b""})],
                         ids=["empty", "no msgpack", "no body", "status 99", "version 9"])
def test_a_reply_that_a_frontend_cannot_read(lonely_frontend, payload):
    """The client gets 500 at once."""
    broker = lonely_frontend
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Api(broker.url).get, f"/v1/result/{uuid.uuid4()}")
        frontend, ((head, _),) = broker.take(REQUEST)
        broker.send(frontend, pack(REPLY, id=head["id"]), payload)
        assert asked.result(timeout=9).status_code == 500  # before the timeout of requests
    assert "their clients got 500" in broker.log.read_text()


# A broker alone, with peers of this file

@pytest.mark.parametrize("frames", [(b"\xc1" * 40, b"x"), (pack(REPLY, id=ID),),
                                    (pack(REPLY, version=2), b"x"), (pack(HELLO), b"")],
                         ids=["no msgpack", "header alone", "version", "hello"])
def test_a_worker_whose_answer_is_garbage(broker, frames):
    """Its requests go to another worker, it may join again, and its late answer is dropped."""
    frontend, worker = broker.frontend(), broker.worker()
    id_ = frontend.request()
    assert worker.ids() == [id_]
    worker.send(*frames)
    assert worker.get(PING, want=HELLO)
    other = broker.worker()
    again, = other.bundle()
    assert again["id"] == id_ and again["attempt"] == 1
    worker.reply(id_, payload=b"late")
    other.reply(id_, payload=b"right")
    assert frontend.answer()["payload"] == b"right"
    other.close()
    worker.ready()
    last = frontend.request()
    assert worker.ids() == [last]


def test_a_request_whose_answers_are_all_garbage(broker):
    frontend, worker = broker.frontend(), broker.worker()
    id_ = frontend.request()
    for _ in range(5):
        assert worker.ids() == [id_]
        worker.send(b"\xc1", b"")
        worker.ready()
    assert frontend.rejection() == (id_, "ERR_INTERNAL")


def test_fields_of_a_later_release_are_skipped(broker):
    def later(head):
        return msgpack.packb(msgpack.unpackb(head) + [7, {"a": b"b"}])

    frontend, worker = broker.frontend(), broker.worker(ready=False)
    worker.send(later(pack(READY)), b"")
    frontend.send(later(pack(REQUEST, id=ID)), b"x")
    assert worker.ids() == [ID]
    worker.send(later(pack(REPLY, id=ID)), b"y")
    assert frontend.answer()["payload"] == b"y"


# Another version of the protocol: the log says so on both sides

VERSION_WARNING = "speaks version 2 of the bus, this process 1; run releases that speak the same"


def says_version(log, say=lambda: None):
    def said():
        say()
        return VERSION_WARNING in log()

    say()
    wait_until(said, "the log says so")


def test_a_frontend_refuses_another_version(lonely_frontend):
    broker = lonely_frontend
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Api(broker.url).get, f"/v1/result/{uuid.uuid4()}")
        _, ((head, _),) = broker.take(REQUEST)
        says_version(broker.log.read_text,
                     lambda: broker.say(pack(REPLY, id=head["id"], version=2), b"x"))
        broker.say(pack(REPLY, id=head["id"]), msgpack.packb({0: 1, 1: 204, 2: [], 3: b""}))
        assert asked.result(timeout=30).status_code == 204


def test_a_worker_refuses_another_version(tmp_path):
    """The log says so beside other warnings that come as often."""
    with PlayedBroker(tmp_path, "workers", "worker", "--store", f"sqlite:{tmp_path}/data.db") as broker:
        broker.take(READY)

        def say():
            broker.say(pack(REQUEST, id=ID), b"unreadable")
            broker.say(pack(REQUEST, id=ID, version=2), envelope(ID))

        says_version(broker.log.read_text, say)


@pytest.mark.parametrize("side", ["frontend", "worker"])
def test_a_broker_refuses_another_version(broker, side):
    peer = getattr(broker, side)()
    peer.send(pack(REQUEST, id=ID, version=2), b"x")
    says_version(broker.log)


# The folder of a bus

ROLES = ("frontend", "broker", "worker", "webhook")


def start_role(role, folder, bus):
    port = Port()
    options = ["--listen", f"127.0.0.1:{port.number}"] if role == "frontend" else \
        ["--store", f"sqlite:{folder}/data.db"] if role != "broker" else []
    port.release()
    return subprocess.Popen([BIN / f"testflinger-{role}", "--bus", bus, *options], cwd=folder,
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def tmp_path():
    """Short: the path of a socket in it has at most 107 bytes, and pytest's holds the test's name."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mode", [0o755, 0o710, 0o702])
def test_a_folder_that_others_may_enter_is_refused(role, mode, tmp_path):
    bus = tmp_path / "bus"
    bus.mkdir()
    bus.chmod(mode)
    process = start_role(role, tmp_path, bus)
    _, said = process.communicate(timeout=20)
    refusal = said.splitlines()[-1]
    assert process.returncode == 2 and refusal.startswith(f"testflinger-{role}: bus: ")
    assert "closed to others" in refusal and not list(bus.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("role", ROLES)
def test_a_folder_of_another_user_is_refused(role, tmp_path):
    bus = tmp_path / "bus"
    bus.mkdir(mode=0o700)
    os.chown(bus, 65534, 65534)
    process = start_role(role, tmp_path, bus)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2 and "must belong to this user" in said


@pytest.mark.parametrize("role", ROLES)
def test_a_folder_that_is_none_is_refused(role, tmp_path):
    (tmp_path / "bus").write_text("")
    process = start_role(role, tmp_path, tmp_path / "bus")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2 and "is not a folder" in said


@pytest.mark.parametrize("role", ROLES)
def test_a_folder_that_is_missing_is_made(role, tmp_path):
    process = start_role(role, tmp_path, tmp_path / "bus")
    try:
        wait_until(lambda: (tmp_path / "bus").is_dir(), "it is made")
        assert (tmp_path / "bus").stat().st_mode & 0o777 == 0o700
    finally:
        process.terminate()
        process.communicate(timeout=20)

"""A bus over TCP with a key: peers without it get nothing and do no harm."""

import subprocess
import time
from contextlib import contextmanager

import pytest
import zmq

from client import Api, expect
from stack import BIN, Port, Stack, wait_until
from test_broker import API, BYE, READY, REQUEST, WEBHOOK, pack, unpack

LOGIN = 3

pytestmark = [pytest.mark.waits, pytest.mark.stores("sqlite")]


def make_key():
    return subprocess.run([BIN / "testflinger-broker", "make-key"], check=True, capture_output=True,
                          text=True, timeout=10).stdout.strip()


def make_keys(folder):
    """The keys of all sides by their names, and what each file says: {name: value}."""
    subprocess.run([BIN / "testflinger-broker", "make-keys", folder], check=True, timeout=10,
                   capture_output=True)
    texts = {path.stem: path.read_text() for path in folder.glob("*.key")}
    return texts, {side: dict(line.split(" ") for line in text.splitlines() if line[0] != "#")
                   for side, text in texts.items()}


class TcpStack(Stack):
    """The bus on a TCP port, the key from the environment."""

    def __init__(self, key, *options, **counts):
        self.bus_port = Port(2)  # of both sides
        super().__init__("sqlite:{folder}/data.db", *options, env={"TESTFLINGER_BUS_KEY": key},
                         **counts)

    def command(self):
        command = super().command()
        command[command.index("--bus") + 1] = f"tcp://127.0.0.1:{self.bus_port.number}"
        return command

    def join(self, side, secret, broker):
        """The same, by the key of a side and the public one of brokers; None: it gets no answer."""
        socket = self.attach(side, secret, public=broker)
        if socket.poll(2000):
            return socket
        socket.close()
        return None

    def attach(self, side, key=None, server_key=None, public=None):
        """A socket that tries to join the bus; side 0: as a frontend, 1: as a worker."""
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.probe_router = 1
        if key:
            socket.curve_secretkey = key.encode()
            socket.curve_publickey = zmq.curve_public(key.encode())
            socket.curve_serverkey = public and public.encode() or \
                zmq.curve_public((server_key or key).encode())
        socket.connect(f"tcp://127.0.0.1:{self.bus_port.number + side}")
        return socket


def test_keys_are_new_each_time(store):
    keys = {make_key() for _ in range(3)}
    assert len(keys) == 3 and {len(key) for key in keys} == {40}


@pytest.mark.slow
def test_a_bus_with_a_key(store, queue):
    key, other = make_key(), make_key()
    with TcpStack(key) as stack:
        api = Api(stack.url)
        assert api.submit(queue) == api.claimed(queue)
        for side in (0, 1):
            good = stack.attach(side, key)
            assert good.poll(5000), "the broker greets who has the key"
            good.close()
            strangers = [stack.attach(side), stack.attach(side, other),  # no key, another bus's key
                         stack.attach(side, other, key)]  # knows the broker's public key only
            time.sleep(1.5)
            for stranger in strangers:
                try:
                    stranger.send_multipart([b"x", b""], zmq.NOBLOCK)
                except zmq.Again:
                    pass
                assert not stranger.poll(300)
                stranger.close()
        expect(api.get("/readyz"), 200)
        assert api.submit(queue) == api.claimed(queue)
        assert key not in stack.log() + stack.stdout()
    stack.bus_port.release()


def answers(stack):
    try:
        return Api(stack.url).get("/healthz").status_code == 200
    except OSError:
        return False


@contextmanager
def with_frontend(key, frontend_key, **counts):
    """A server and, once its broker serves, its only frontend, which has another key. Yields the Api."""
    stack = TcpStack(key, frontends=0, **counts)
    frontend = None
    try:
        stack.launch()
        wait_until(lambda: stack.log_contains("serving frontends"), "the broker serves")
        frontend = subprocess.Popen(
            [BIN / "testflinger-frontend", "--listen", f"127.0.0.1:{stack.port.number}", "--bus",
             f"tcp://127.0.0.1:{stack.bus_port.number}", "--request-timeout", "1000"],
            env={"TESTFLINGER_BUS_KEY": frontend_key}, stderr=subprocess.DEVNULL)
        wait_until(lambda: answers(stack), "the frontend answers")
        yield Api(stack.url)
    finally:
        if frontend:
            frontend.terminate()
            frontend.wait(15)
        stack.kill_all()
        stack.port.release()
        stack.bus_port.release()


def test_processes_with_another_key(store):
    """A frontend of another key reaches no worker."""
    with with_frontend(make_key(), make_key()) as api:
        assert expect(api.get("/readyz"), 503).headers["Retry-After"] == "1"


@pytest.mark.parametrize("role", ["broker", "frontend", "worker"])
@pytest.mark.parametrize("key", ["short", "x" * 39 + "~", "0" * 41])
def test_a_key_that_is_none(store, role, key, tmp_path):
    done = subprocess.run([BIN / f"testflinger-{role}", "--bus", "tcp://127.0.0.1:1"], cwd=tmp_path,
                          env={"TESTFLINGER_BUS_KEY": key}, capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and "bus-key" in done.stderr and key not in done.stderr


@pytest.mark.parametrize("key", [None, ""])
def test_a_remote_bus_without_a_key_is_refused(store, key, tmp_path):
    env = {} if key is None else {"TESTFLINGER_BUS_KEY": key}
    done = subprocess.run([BIN / "testflinger-broker", "--bus", "tcp://10.1.2.3:7000"], env=env,
                          cwd=tmp_path, capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and "without keys" in done.stderr


# A key a side

SIDES = ("frontend", "broker", "worker", "webhook")


def test_files_hold_what_a_side_needs_and_nothing_more(store, tmp_path):
    folder = tmp_path / "keys"
    _, keys = make_keys(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    public = {side: zmq.curve_public(keys[side]["secret"].encode()).decode() for side in SIDES}
    assert len({key["secret"] for key in keys.values()}) == len(SIDES)
    for side, key in keys.items():
        others = ("frontend", "worker", "webhook") if side == "broker" else ("broker",)
        assert key == {"side": side, "secret": key["secret"], **{o: public[o] for o in others}}
    before = [path.read_bytes() for path in sorted(folder.iterdir())]
    (folder / "broker.key").rename(folder / "kept")
    done = subprocess.run([BIN / "testflinger-broker", "make-keys", folder], capture_output=True,
                          text=True, timeout=10)
    assert done.returncode == 1 and "exists" in done.stderr and not (folder / "broker.key").exists()
    (folder / "kept").rename(folder / "broker.key")
    assert before == [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.mark.slow
def test_a_bus_with_a_key_a_side(store, queue, tmp_path):
    """Each side's key opens only its own port, and a webhook worker cannot join as a worker of the API."""
    texts, keys = make_keys(tmp_path / "keys")
    broker = keys["frontend"]["broker"]
    with TcpStack("".join(texts.values()), webhooks=1) as stack:
        api = Api(stack.url)
        expect(api.get("/readyz"), 200)
        assert api.submit(queue) == api.claimed(queue)
        assert "share one key" not in stack.log()
        may = {(side, port) for side in SIDES for port in (0, 1)
               if (socket := stack.join(port, keys[side]["secret"], broker)) and not socket.close()}
        assert may == {("frontend", 0), ("worker", 1), ("webhook", 1)}
        assert "refused" in stack.log() and "their key does not belong there" in stack.log()
        for side, service in (("webhook", API), ("webhook", LOGIN), ("worker", WEBHOOK)):
            thief = stack.join(1, keys[side]["secret"], broker)
            thief.send_multipart([pack(READY, service=service), b""])
            for _ in range(4):  # one in turn would be its
                expect(api.get("/readyz"), 200)
                expect(api.post("/v1/oauth2/token"), 401)
            while thief.poll(100):
                assert unpack(thief.recv_multipart()[0])["type"] != REQUEST
            thief.close()
        for side, service in (("webhook", WEBHOOK), ("worker", API)):
            worker = stack.join(1, keys[side]["secret"], broker)
            garbage = stack.log().count("malformed messages")
            worker.send_multipart([pack(READY, service=service), b""])
            worker.send_multipart([pack(BYE), b""])
            time.sleep(0.5)
            assert stack.log().count("malformed messages") == garbage
            worker.close()
        expect(api.get("/readyz"), 200)
        assert not any(key["secret"] in stack.log() + stack.stdout() for key in keys.values())
    stack.bus_port.release()


@pytest.mark.parametrize("given", ["broker of another set", "single key"])
def test_a_peer_speaks_to_its_brokers_only(store, given, tmp_path):
    """Frontends accept no answer from a broker without the broker's key."""
    texts, _ = make_keys(tmp_path / "keys")
    other, _ = make_keys(tmp_path / "others")
    key = other["broker"] if given != "single key" else make_key()
    with with_frontend(key, texts["frontend"], workers=0) as api:
        expect(api.get("/readyz"), 503)


@pytest.mark.parametrize("side", SIDES)
def test_the_key_of_another_side_is_refused(store, side, tmp_path):
    texts, _ = make_keys(tmp_path / "keys")
    wrong = {"another side": texts["broker" if side == "frontend" else "frontend"],
             "no secret": f"side {side}\nbroker {'0' * 40}\n",
             "holds no key": texts[side].replace("secret ", "secret x"),
             "lacks": "".join(line + "\n" for line in texts[side].splitlines()
                              if line.split(" ")[0] not in ("frontend", "broker"))}
    for said, key in wrong.items():
        done = subprocess.run([BIN / f"testflinger-{side}", "--bus", "tcp://127.0.0.1:1", "--auth",
                               "open"][:None if side in ("worker", "webhook") else 3],
                              cwd=tmp_path, env={"TESTFLINGER_BUS_KEY": key}, capture_output=True,
                              text=True, timeout=10)
        assert done.returncode == 2 and said in done.stderr and f"{side}.key" in done.stderr
        assert not any(line.split(" ")[-1] in done.stderr for line in key.splitlines() if "secret" in line)


def test_one_key_for_all_is_warned_of(store):
    with TcpStack(make_key()) as stack:
        wait_until(lambda: stack.log().count("make-keys DIR") >= 3, "each role says it")
    stack.bus_port.release()

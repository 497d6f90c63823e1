"""A bus over TCP with a key: peers without it get nothing and do no harm."""

import subprocess
import time

import pytest
import zmq

from client import Api, expect
from stack import BIN, Port, Stack, wait_until

pytestmark = pytest.mark.stores("sqlite")


def make_key():
    return subprocess.run([BIN / "testflinger-broker", "make-key"], check=True, capture_output=True,
                          text=True, timeout=10).stdout.strip()


class TcpStack(Stack):
    """The bus on a TCP port, the key from the environment."""

    def __init__(self, key, *options):
        self.bus_port = Port()
        super().__init__("sqlite:{folder}/data.db", *options, env={"TESTFLINGER_BUS_KEY": key})

    def command(self):
        command = super().command()
        command[command.index("--bus") + 1] = f"tcp://127.0.0.1:{self.bus_port.number}"
        return command

    def attach(self, side, key=None, server_key=None):
        """A socket that tries to join the bus; side 0: as a frontend, 1: as a worker."""
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.probe_router = 1
        if key:
            socket.curve_secretkey = key.encode()
            socket.curve_publickey = zmq.curve_public(key.encode())
            socket.curve_serverkey = zmq.curve_public((server_key or key).encode())
        socket.connect(f"tcp://127.0.0.1:{self.bus_port.number + side}")
        return socket


def test_keys_are_new_each_time(store):
    keys = {make_key() for _ in range(3)}
    assert len(keys) == 3 and {len(key) for key in keys} == {40}


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


def test_processes_with_another_key(store):
    """A frontend of another key reaches no worker."""
    stack = TcpStack(make_key(), "--frontends", 0)
    stack.counts["frontend"] = 0
    stack.launch()
    frontend = None
    try:
        wait_until(lambda: stack.log_contains("serving frontends"), "the broker serves")
        frontend = subprocess.Popen(
            [BIN / "testflinger-frontend", "--listen", f"127.0.0.1:{stack.port.number}", "--bus",
             f"tcp://127.0.0.1:{stack.bus_port.number}", "--request-timeout", "1000"],
            env={"TESTFLINGER_BUS_KEY": make_key()}, stderr=subprocess.DEVNULL)
        wait_until(lambda: answers(stack), "the frontend answers")
        assert expect(Api(stack.url).get("/readyz"), 503).headers["Retry-After"] == "1"
    finally:
        if frontend:
            frontend.terminate()
            frontend.wait(15)
        stack.kill_all()
        stack.port.release()
        stack.bus_port.release()


def answers(stack):
    try:
        return Api(stack.url).get("/healthz").status_code == 200
    except OSError:
        return False


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

"""The open mode is a choice, and root is given up: how the server starts, and how it does not."""

import os
import pwd
import subprocess
import tempfile

import pytest
import requests

from stack import BIN, Port, Stack

pytestmark = pytest.mark.stores("sqlite")
ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="changes the user")



class Elsewhere(Stack):
    """A server on all addresses; the tests use its loopback one."""

    ADDRESS = "0.0.0.0"

    def command(self):
        return [x.replace("127.0.0.1:", f"{self.ADDRESS}:") for x in super().command()]

    def _is_up(self):
        return super()._is_up() or f"http://{self.ADDRESS}:{self.port.number}" in self.stdout()


def refusal(folder, *command, env=None):
    """What a program says that ends at once with status 2, in one line."""
    done = subprocess.run([str(c) for c in command], cwd=folder, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=10, env={**os.environ, **(env or {})})
    assert done.returncode == 2 and done.stdout == "", (done.returncode, done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]", ""])
def test_it_must_be_said_where_others_reach_the_server(store, tmp_path, address):
    port = Port()
    said = refusal(tmp_path, BIN / "testflinger-server", "--listen", f"{address}:{port.number}")
    assert "--auth open" in said and "--auth roles" in said and str(port.number) in said
    # Nothing was started or made.
    assert not (tmp_path / "testflinger-data").exists()
    port.release()


def test_an_empty_variable_says_nothing(store, tmp_path):
    port = Port()
    said = refusal(tmp_path, BIN / "testflinger-server", "--listen", f"0.0.0.0:{port.number}",
                   env={"TESTFLINGER_AUTH": ""})
    assert "--auth open" in said
    port.release()


def test_a_frontend_alone(store, tmp_path):
    (tmp_path / "bus").mkdir(mode=0o700)
    port = Port()
    said = refusal(tmp_path, BIN / "testflinger-frontend", "--bus", tmp_path / "bus",
                   "--listen", f"0.0.0.0:{port.number}")
    assert "--auth open" in said
    port.release()


def test_a_socket_of_systemd(store, tmp_path):
    """A socket that is passed counts by its own address, not by --listen."""
    port = Port()
    code = ("import os, socket, sys; s = socket.socket(); s.bind(('0.0.0.0', int(sys.argv[1])));"
            "s.listen(); os.dup2(s.fileno(), 3); os.set_inheritable(3, True);"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
            "os.execv(sys.argv[2], sys.argv[2:])")
    said = refusal(tmp_path, "python3", "-c", code, port.number, BIN / "testflinger-server")
    assert "--auth open" in said
    port.release()


@pytest.mark.parametrize("program", ["testflinger-worker", "testflinger-webhook"])
def test_a_worker_of_other_machines(store, tmp_path, program):
    """Its frontends may ask for tokens: a worker in the default mode would let everyone in."""
    said = refusal(tmp_path, BIN / program, "--bus", "tcp://broker.example:7000",
                   "--store", f"sqlite:{tmp_path}/x.db")
    assert "TESTFLINGER_AUTH" in said and "broker.example" in said


@pytest.mark.parametrize("options, env", [(["--auth", "open"], None), (["--auth", "roles"], None),
                                          ([], {"TESTFLINGER_AUTH": "open"})])
def test_where_it_is_said_it_starts(store_uri, options, env):
    with Elsewhere(store_uri(), *options, env=env) as stack:
        assert requests.get(f"{stack.url}/readyz", timeout=10).status_code == 200
        is_open = options != ["--auth", "roles"]
        assert stack.log().count("access control is off") == is_open


# Root

@pytest.mark.slow
@ROOT_ONLY
def test_root_is_warned_once(store_uri):
    with Stack(store_uri(), webhooks=1) as stack:
        assert stack.log().count("running as root") == 1
    with Stack(store_uri(), "--user", "root", webhooks=1) as stack:
        assert not stack.log_contains("running as root")


@ROOT_ONLY
def test_another_user(store_uri, monkeypatch):
    """Every process has the user's ids and groups only; the port was bound by root."""
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")  # which that user may enter
    stack = Stack(store_uri(), "--user", "nobody", webhooks=1)
    nobody = pwd.getpwnam("nobody")
    (stack.folder / "bus").mkdir(mode=0o700)
    os.chown(stack.folder / "bus", nobody.pw_uid, nobody.pw_gid)
    os.chown(stack.folder, nobody.pw_uid, nobody.pw_gid)
    with stack:
        assert not stack.log_contains("running as root")
        for pid in stack.tree():
            status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status") if ":\t" in line)
            assert status["Uid"].split() == [str(nobody.pw_uid)] * 4, status["Name"]
            assert status["Gid"].split() == [str(nobody.pw_gid)] * 4, status["Name"]
            assert set(status["Groups"].split()) <= {str(nobody.pw_gid)}, status["Name"]
            assert int(status["CapEff"], 16) == 0
        assert requests.get(f"{stack.url}/readyz", timeout=10).status_code == 200


def test_no_process_gains_privileges(store_uri):
    with Stack(store_uri(), webhooks=1, env={"TESTFLINGER_METRICS_HOST": "127.0.0.1"}) as stack:
        tree = stack.tree()
        assert {name for _, name in tree.values()} == {
            f"testflinger-{r}" for r in ("server", "frontend", "broker", "worker", "webhook")}
        for pid, (_, name) in tree.items():
            assert "\nNoNewPrivs:\t1\n" in open(f"/proc/{pid}/status").read(), name


@pytest.mark.parametrize("program", ["server", "broker"])
def test_a_user_that_is_none(store, tmp_path, program):
    (tmp_path / "bus").mkdir(mode=0o700)
    port = Port()
    options = ["--listen", f"127.0.0.1:{port.number}"] if program == "server" else []
    said = refusal(tmp_path, BIN / f"testflinger-{program}", "--bus", tmp_path / "bus", *options,
                   "--user", "no-such-user")
    assert "no-such-user" in said and "useradd" in said
    port.release()


@ROOT_ONLY
def test_who_is_not_root_cannot_change(store, tmp_path):
    (tmp_path / "bus").mkdir(mode=0o700)
    os.chmod(tmp_path, 0o755)
    command = ["setpriv", "--reuid", "nobody", "--clear-groups", BIN / "testflinger-broker",
               "--bus", tmp_path / "bus", "--user", "daemon"]
    assert "only root can change to 'daemon'" in refusal("/", *command)

"""deploy/run as a user calls it: in a terminal, from any folder. It finds the tests' own build, which others
run meanwhile, where that is up to date; else it builds into a folder that only these tests use."""

import functools
import os
import pty
import re
import signal
import subprocess
import tempfile
import time

import pytest
import requests

from stack import BIN, ROOT, SANITIZED, Port, descendants, running, wait_until

BUILD_SECONDS = 500
pytestmark = [
    pytest.mark.stores("sqlite"),  # the store takes no part in this
    pytest.mark.slow,
    pytest.mark.timeout(BUILD_SECONDS + 60),
    pytest.mark.skipif(SANITIZED, reason="deploy/run always makes a release, and the release run has these"),
]


@functools.cache
def build():
    # A dry run ends at the edge that runs CMake again, which always looks dirty where files are found by GLOB.
    rules = re.sub(r"^build build\.ninja: .*\n(?: .*\n)*", "", (BIN.parent / "build.ninja").read_text(), flags=re.M)
    with tempfile.NamedTemporaryFile("w", suffix=".ninja") as file:
        file.write(rules)
        file.flush()
        done = subprocess.run(["ninja", "-C", BIN.parent, "-n", "-f", file.name, "testflinger-server"],
                              capture_output=True, text=True)
    return str(BIN.parent if "no work to do" in done.stdout else ROOT / "build-run")


class Terminal:
    """deploy/run with a controlling terminal; its standard output is a file."""

    def __init__(self, folder, *options):
        self.port = Port()
        self.url = f"http://127.0.0.1:{self.port.number}"
        command = [ROOT / "deploy/run", "--listen", f"127.0.0.1:{self.port.number}", *options]
        self.began = time.monotonic()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            out = os.open("stdout", os.O_CREAT | os.O_WRONLY, 0o600)
            os.dup2(out, 1)
            os.execve(command[0], [str(c) for c in command], {**os.environ, "BUILD_DIR": build()})
        self.folder = folder
        self.status = None

    def stdout(self):
        path = self.folder / "stdout"
        return path.read_text() if path.exists() else ""

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def answers(self):
        assert not self.ended(), self.status
        try:
            return requests.get(f"{self.url}/v1/", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def close(self):
        for pid in [] if self.ended() else descendants(self.pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(self.ended, "it has ended")
        self.port.release()


def run(*options, folder=None):
    return subprocess.run([ROOT / "deploy/run", *options], cwd=folder, capture_output=True, text=True,
                          timeout=BUILD_SECONDS, stdin=subprocess.DEVNULL,
                          env={**os.environ, "BUILD_DIR": build()})


@pytest.fixture
def terminal(tmp_path):
    # What is to be measured is a second start.
    done = run("--version")
    assert done.returncode == 0, done.stderr
    started = []

    def start(*options):
        started.append(Terminal(tmp_path, *options))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.alone
def test_start_and_ctrl_c(store, terminal, tmp_path):
    """The first answer comes within a second; one line on standard output; Ctrl-C ends it all."""
    own = terminal()
    wait_until(own.answers, "the first answer")
    assert time.monotonic() - own.began < 1
    wait_until(lambda: own.url in own.stdout(), "its URL")
    assert len(own.stdout().splitlines()) == 1
    assert (tmp_path / "testflinger-data").is_dir()
    tree = descendants(own.pid)
    names = {name for _, name in tree.values()}
    assert names >= {f"testflinger-{role}" for role in ("server", "frontend", "broker", "worker")}
    os.write(own.master, b"\x03")
    wait_until(own.ended, "it has ended", 15)
    assert own.status == 0 and not running(tree)


def test_a_terminal_that_goes_away(store, terminal):
    own = terminal()
    wait_until(lambda: own.url in own.stdout(), "its URL")
    tree = descendants(own.pid)
    os.close(own.master)
    wait_until(own.ended, "it has ended", 15)
    assert not running(tree)


def test_options_go_to_the_launcher(store, tmp_path):
    done = run("--version", folder=tmp_path)
    assert re.fullmatch(r"testflinger-server \d+\.\d+\.\d+\n", done.stdout)
    assert "--workers" in run("--help", folder=tmp_path).stdout
    done = run("--workers", "many", folder=tmp_path)
    assert done.returncode == 2 and "workers" in done.stderr and done.stdout == ""

"""deploy/run as a user calls it: in a terminal, from any folder."""

import os
import pty
import re
import signal
import subprocess
import time

import pytest
import requests

from stack import BIN, ROOT, Port, descendants, processes, wait_until

pytestmark = [
    pytest.mark.stores("sqlite"),
    pytest.mark.skipif(BIN != ROOT / "build/bin", reason="deploy/run has a build folder of its own"),
]


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
            os.execv(command[0], [str(c) for c in command])
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


@pytest.fixture
def terminal(tmp_path):
    # What is to be measured is a second start.
    subprocess.run([ROOT / "deploy/run", "--version"], check=True, timeout=300,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    started = []

    def start(*options):
        started.append(Terminal(tmp_path, *options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_start_and_ctrl_c(store, terminal, tmp_path):
    """The first answer comes within a second; one line on standard output; Ctrl-C ends it all."""
    run = terminal()
    wait_until(run.answers, "the first answer")
    assert time.monotonic() - run.began < 1
    wait_until(lambda: run.url in run.stdout(), "its URL")
    assert len(run.stdout().splitlines()) == 1
    assert (tmp_path / "testflinger-data").is_dir()
    tree = descendants(run.pid)
    names = {name for _, name in tree.values()}
    assert names >= {f"testflinger-{role}" for role in ("server", "frontend", "broker", "worker")}
    os.write(run.master, b"\x03")
    wait_until(run.ended, "it has ended", 15)
    assert run.status == 0 and not set(tree) & set(processes())


def test_a_terminal_that_goes_away(store, terminal):
    run = terminal()
    wait_until(lambda: run.url in run.stdout(), "its URL")
    tree = descendants(run.pid)
    os.close(run.master)
    wait_until(run.ended, "it has ended", 15)
    assert not set(tree) & set(processes())


def test_options_go_to_the_launcher(store, tmp_path):
    def run(*options):
        return subprocess.run([ROOT / "deploy/run", *options], cwd=tmp_path, capture_output=True,
                              text=True, timeout=300, stdin=subprocess.DEVNULL)

    done = run("--version")
    assert re.fullmatch(r"testflinger-server \d+\.\d+\.\d+\n", done.stdout)
    assert "--workers" in run("--help").stdout
    done = run("--workers", "many")
    assert done.returncode == 2 and "workers" in done.stderr and done.stdout == ""

"""The real multi-process server: starts and stops it, looks at its processes and its logs."""

import fcntl
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("BUILD_DIR", ROOT / "build")).absolute() / "bin"
ROLES = ("server", "frontend", "broker", "worker", "webhook")
START_SECONDS = 60
STOP_SECONDS = 30  # the server's own grace time is 10 s
FAULTS = re.compile(
    "AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed|"
    "invalid array detected"  # libbson: an array whose keys are wrong
)
# AddressSanitizer keeps freed memory for a while: a process's memory says nothing then.
SANITIZED = "SANITIZE:BOOL=ON" in (BIN.parent / "CMakeCache.txt").read_text()
SECRETS = set()  # what no log may ever show


def secret(text):
    """Notes a secret, token or password that a test uses; returns it."""
    SECRETS.add(text)
    return text


def wait_until(condition, what, seconds=30):
    """Returns the first true value of condition(); fails when there is none in time. What waits for a
    documented bound gives it; the default only ends a wait for what never comes."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def soon(seconds, attempt, tries=5):
    """What an attempt returns that takes less than this. A busy machine may delay one, so only several that
    take longer fail."""
    took = []
    for _ in range(tries):
        begin = time.monotonic()
        value = attempt()
        took.append(time.monotonic() - begin)
        if took[-1] < seconds:
            return value
    raise AssertionError(f"not within {seconds} s: {took}")


class Port:
    """Free TCP ports in a row, of which `number` is the first, outside of the ephemeral range. They are
    locked against other test processes until release() or the end of this object."""

    def __init__(self, count=1, numbers=None):
        """The first is one of `numbers`."""
        for number in numbers or random.sample(range(20000, 32000 - count), 500):
            locks = []
            try:
                for n in range(number, number + count):
                    locks.append(self._lock(n))
            except OSError:
                for lock in locks:
                    lock.close()
                continue
            self.number, self._locks = number, locks
            return
        raise RuntimeError("no free port")

    @staticmethod
    def _lock(number):
        folder = Path(f"/tmp/testflinger-test-ports-{os.getuid()}")
        folder.mkdir(exist_ok=True)
        lock = open(folder / str(number), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", number))
        except OSError:
            lock.close()
            raise
        return lock

    def release(self):
        for lock in self._locks:
            lock.close()


def running(pids):
    """Those of these processes that run; zombies are left out."""
    found = set()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:
                state = stat.read(512).rpartition(b")")[2].split(None, 1)[0]
        except OSError:
            continue
        if state not in b"ZX":
            found.add(pid)
    return found


def executable(pid):
    """The name of a process's executable, None when it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except OSError:
        return None


def cpu_seconds(pid):
    """What a process has used of a processor, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def comm(pid):
    """The name that a process gave itself, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def children_of(pid):
    """The processes that a process has forked and not yet waited for; proc(5) has the file. No thread but the
    first one forks here."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as children:
            return [int(p) for p in children.read(1 << 16).split()]
    except OSError:
        return []


def descendants(pid):
    """{pid: (parent, name)} of a process and all below it; zombies are left out."""
    found, parents = {}, {pid: os.getpid()}
    while parents:
        found |= {p: (parent, executable(p)) for p, parent in parents.items()}
        parents = {p: parent for parent in parents for p in children_of(parent)}
    return {p: v for p, v in found.items() if v[1]}


class Stack:
    """One server with a data folder of its own. `store` is a URI, None: no --store option."""

    on_start = None  # a function of conftest.py that is called with each server that has started

    def __init__(self, store="sqlite:{folder}/data.db", *options, env=None, frontends=1, workers=2,
                 brokers=1, webhooks=0):
        self.folder = Path(tempfile.mkdtemp(prefix="tf-"))
        self.store = store and store.format(folder=self.folder)
        self.counts = {"frontend": frontends, "worker": workers, "broker": brokers,
                       "webhook": webhooks}
        self.options = options
        self.env = env or {}
        self.frozen = set()
        self.port = Port()
        self.url = f"http://127.0.0.1:{self.port.number}"
        self.undisturbed = None  # the processes that must be there at the end
        self.process = None

    def command(self):
        bus = self.folder / "bus"
        bus.mkdir(mode=0o700, exist_ok=True)
        fixed = {"listen": f"127.0.0.1:{self.port.number}", "bus": bus, "log-format": "json",
                 **({"store": self.store} if self.store else {}),
                 **{f"{role}s": n for role, n in self.counts.items()}}
        given = [str(x) for pair in fixed.items() for x in (f"--{pair[0]}", pair[1])]
        return [str(BIN / "testflinger-server"), *given, *map(str, self.options)]

    def launch(self):
        """Starts it without waiting for anything."""
        self.undisturbed = None
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
               "UBSAN_OPTIONS": "print_stacktrace=1",
               "TESTFLINGER_AGENT_NAMES": "shared",  # most tests take many jobs under one name
               "TESTFLINGER_REQUEST_TIMEOUT": "25000",  # no 504 because the machine is busy
               "TESTFLINGER_STORE_TIMEOUT": "6000",  # and no 503
               **self.env}
        with open(self.folder / "stdout", "ab") as out, open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                self.command(), env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, start_new_session=True)

    def start(self):
        self.launch()
        return self.await_start()

    def await_start(self):
        try:
            wait_until(self._is_up, "the server prints its URL", START_SECONDS)
            wait_until(self.is_complete, "all processes are there", START_SECONDS)
        except BaseException:
            self.kill_all()
            raise
        self.undisturbed = set(self.tree())
        if Stack.on_start:
            Stack.on_start(self)
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}\n{self.tail()}")
        return self.url in self.stdout()

    def is_complete(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}\n{self.tail()}")
        tree = self.tree()
        return (all(len(self.children(role, tree)) == n for role, n in self.counts.items())
                and (not self.counts["worker"] or self.logins(tree)))

    # Processes

    def tree(self):
        return descendants(self.process.pid)

    def pids(self, role, tree=None):
        tree = tree or self.tree()
        return [p for p, (_, name) in tree.items() if name == f"testflinger-{role}"]

    def forked(self, role, tree=None):
        """All processes that the master of a role has forked."""
        tree = tree or self.tree()
        processes_of_it = self.pids(role, tree)
        return [p for p in processes_of_it if tree[p][0] in processes_of_it]

    def children(self, role, tree=None):
        """The processes of a role that do its work, without those for logins and the monitor."""
        return [p for p in self.forked(role, tree) if comm(p) not in ("tf-login", "tf-monitor")]

    def logins(self, tree=None):
        return [p for p in self.forked("worker", tree) if comm(p) == "tf-login"]

    def signal(self, sig, pids):
        """Sends a signal to processes of this server; from now on their set may change. Those that it kills
        are gone when this returns: what is seen later is what came after them."""
        self.undisturbed = None
        pids = list(pids)
        for pid in pids:
            os.kill(pid, sig)
        if sig == signal.SIGKILL:
            wait_until(lambda: not running(pids), "the end of killed processes")

    def freeze(self, pids):
        """Stops children, and before them their masters, which would kill a child that is stopped."""
        tree = self.tree()
        self.frozen |= {tree[p][0] for p in pids}
        self.signal(signal.SIGSTOP, [*self.frozen, *pids])

    def thaw(self, pids):
        """Continues what freeze() has stopped, if it lives."""
        tree = self.tree()
        self.signal(signal.SIGCONT, [p for p in (*pids, *self.frozen) if p in tree])
        self.frozen.clear()

    def kill(self, role):
        """Kills one child of a role with SIGKILL, once there is one, and returns its id."""
        pid = wait_until(lambda: self.children(role), f"a child of the {role}")[0]
        self.signal(signal.SIGKILL, [pid])
        return pid

    # Logs

    def stdout(self):
        return (self.folder / "stdout").read_text(errors="replace")

    def log(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def log_contains(self, text):
        return text in self.log()

    def tail(self, lines=60):
        return "\n".join((self.stdout() + self.log()).splitlines()[-lines:])

    # End

    def kill_all(self):
        for pid in [p for p in self.tree() if p != self.process.pid] + [self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def faults(self):
        """What an end of the server by TERM must not show; [] when all is well."""
        found = []
        before = self.tree()
        if self.process.poll() is not None:
            found.append(f"the server had ended with {self.process.returncode}")
        elif self.undisturbed is not None and not self.undisturbed <= set(before):
            found.append("a process has died or was started again meanwhile")
        self.process.send_signal(signal.SIGTERM)
        try:
            if self.process.wait(STOP_SECONDS) != 0:
                found.append(f"exit status {self.process.returncode}")
        except subprocess.TimeoutExpired:
            found.append(f"it did not end within {STOP_SECONDS} s of TERM")
            self.kill_all()
        left = running(before)
        if left:
            found.append(f"processes left: {left}")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        said = self.stdout() + self.log()
        if FAULTS.search(said):
            found.append("sanitizer report or failed assertion")
        found += [f"a secret in the log: {s[:40]}" for s in SECRETS if s in said]
        return found

    def stop(self):
        """Ends the server; fails when it needs force, leaves something or has logged a fault."""
        found = self.faults()
        self.port.release()
        if found:
            kept = self.folder / "stderr"
            raise AssertionError(f"{'; '.join(found)} (log: {kept})\n{self.tail(200)}")
        shutil.rmtree(self.folder, ignore_errors=True)  # SQLite may just be removing files of its own

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill_all()
            self.port.release()

"""What the attacks share: a server, a client that measures what others meet, memory, figures.

An attack is a file attack_NAME.py: its docstring says what it does, it ends within minutes, prints
`name: value unit` lines and ends with support.finish(), which is 1 where a bound was broken:

    with server("--max-connections", 100) as stack, Watch(stack) as memory, Bystander(stack) as other:
        ...
    bound("others' p99", other.percentile(99) * 1000, "ms", most=50)
    bound("RSS of a frontend", memory.peak_mib(), "MiB", most=300)
    sys.exit(finish())"""

import multiprocessing
import os
import resource
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("BUILD_DIR", str(ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests/blackbox"))
import stack as stack_module  # noqa: E402  (reads BUILD_DIR)

SANITIZED = stack_module.SANITIZED
_broken = []


# Figures

def figure(name, value, unit):
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    print(f"{name}: {text} {unit}".rstrip(), flush=True)


def bound(name, value, unit, most=None, least=None):
    """A figure with a documented bound. Times and memory of a sanitizer build are only printed."""
    figure(name, value, unit)
    timed = unit in ("s", "ms", "us", "MiB", "KiB") or unit.endswith("/s")
    if SANITIZED and timed:
        return
    if most is not None and value > most:
        _broken.append(f"{name} is above {most} {unit}")
    if least is not None and value < least:
        _broken.append(f"{name} is below {least} {unit}")


def expect(name, held):
    """Something that must hold, on any build."""
    figure(name, "yes" if held else "no", "")
    if not held:
        _broken.append(f"{name}: no")


def finish():
    """The exit status."""
    for text in _broken:
        print(f"BROKEN {text}", flush=True)
    return 1 if _broken else 0


# The server

def server(*options, store="sqlite:{folder}/data.db", **counts):
    """A context manager: a Stack of tests/blackbox/stack.py, with the server's options."""
    raise_descriptors()
    return stack_module.Stack(store, *options, **counts)


def raise_descriptors():
    """As many open files as this user may have; the server's processes inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def connect(stack, source=None, timeout=10):
    """A plain connection; `source` is an address of 127/8, for attacks from many addresses."""
    return socket.create_connection(("127.0.0.1", stack.port.number), timeout=timeout,
                                    source_address=(source, 0) if source else None)


# Other clients

def _read_answer(file):
    """Status of one answer; reads its body to the end."""
    line = file.readline()
    if not line:
        raise ConnectionError("closed without an answer")
    length = 0
    for header in iter(file.readline, b"\r\n"):
        if not header:
            raise ConnectionError("closed within an answer")
        if header.lower().startswith(b"content-length:"):
            length = int(header.split(b":")[1])
    file.read(length)
    return int(line.split()[1])


def _bystand(port, source, request, pause, fresh, ended, results):
    """Runs in a process of its own, so that the attacker's work does not slow the clock."""
    times, errors, reason, file = [], 0, "", None
    while not ended.is_set():
        began = time.monotonic()
        try:
            if not file:
                sock = socket.create_connection(("127.0.0.1", port), timeout=10,
                                                source_address=(source, 0))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                file = sock.makefile("rb")
            sock.sendall(request)
            status = _read_answer(file)
            if status >= 400:
                errors, reason = errors + 1, reason or f"status {status}"
            times.append(time.monotonic() - began)
        except OSError as error:
            errors, reason = errors + 1, reason or repr(error)
            times.append(time.monotonic() - began)
            if file:
                file.close()
                sock.close()
            file = None
        if fresh and file:
            file.close()
            sock.close()
            file = None
        time.sleep(pause)
    results.send((times, errors, reason))


class Bystander:
    """Another client, from an address of its own: one request at a time with a pause between.
    `fresh`: each on a new connection. Used as a context manager around the attack; afterwards
    `times` (seconds), `errors` and `reason` (of the first error) are there."""

    REQUEST = b"GET /v1/agents/data HTTP/1.1\r\nHost: bystander\r\n\r\n"

    def __init__(self, stack, request=REQUEST, pause=0.01, fresh=False, source="127.1.1.1"):
        self._ended = multiprocessing.Event()
        self._results, child = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.Process(
            target=_bystand, daemon=True,
            args=(stack.port.number, source, request, pause, fresh, self._ended, child))
        self.times, self.errors, self.reason = [], 0, ""

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        if self._results.poll(30):
            self.times, self.errors, self.reason = self._results.recv()
        else:
            self.errors, self.reason = 1, "the bystander did not end"
        self._process.join(5)

    def percentile(self, p):
        """Seconds; the worst value where there are too few."""
        if len(self.times) < 2:
            return max(self.times, default=float("inf"))
        return statistics.quantiles(self.times, n=1000, method="inclusive")[min(int(p * 10), 999) - 1]

    def report(self, name="others"):
        figure(f"{name}: requests", len(self.times), "")
        figure(f"{name}: p50", self.percentile(50) * 1000, "ms")
        figure(f"{name}: p99", self.percentile(99) * 1000, "ms")
        figure(f"{name}: most", max(self.times, default=0.0) * 1000, "ms")
        figure(f"{name}: errors", self.errors, self.reason)


# Memory

def rss_kib(pid):
    """Resident memory of a process, 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Watch:
    """Samples the largest resident memory of one child of each role; a context manager."""

    def __init__(self, stack, every=0.05, roles=("frontend", "broker", "worker")):
        self._stack, self._every = stack, every
        tree = stack.tree()
        self._pids = {role: stack.children(role, tree) for role in roles}
        self._peak = {role: 0 for role in roles}
        self._before = {role: max(map(rss_kib, pids), default=0)
                        for role, pids in self._pids.items()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _look(self):
        for role, pids in self._pids.items():
            self._peak[role] = max(self._peak[role], *map(rss_kib, pids), 0)

    def _sample(self):
        while not self._ended.wait(self._every):
            self._look()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self._look()

    def peak_mib(self, role="frontend"):
        return self._peak[role] / 1024

    def before_mib(self, role="frontend"):
        return self._before[role] / 1024

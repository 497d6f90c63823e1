"""What tests/bench/run and tests/bench/idle share: the build, a mongod, the server's processes."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.setdefault("BUILD_DIR", str(ROOT / "build"))).absolute()
sys.path.insert(0, str(ROOT / "tests/blackbox"))
from stack import Port, Stack, cpu_seconds, descendants  # noqa: E402  (reads BUILD_DIR)

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def setup(command):
    """Runs a command of tests/setup.sh and returns the last line of its output."""
    script = f'set -euo pipefail; . "{ROOT}/tests/setup.sh"; {command}'
    done = subprocess.run(["bash", "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().rpartition("\n")[2]


def build():
    """A release build of everything."""
    if not shutil.which("ninja") or not shutil.which("cmake"):
        setup('install_packages "$root/deploy/packages.txt"')
    for command in (["cmake", "-G", "Ninja", "-S", ROOT, "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release",
                     "-DSANITIZE=OFF"], ["ninja", "-C", BUILD, "--quiet"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def tool(name):
    """Path of a program of this folder."""
    path = BUILD / "tests" / name
    if not path.exists():
        sys.exit(f"{path} is not there: build first, or leave out --no-build")
    return path


class Mongod:
    """A mongod with a data folder of its own, on a free port."""

    def __enter__(self):
        binary = os.environ.get("MONGOD") or shutil.which("mongod") or setup(
            'install_packages "$root/tests/packages.txt"; make_venv; echo "$MONGOD"')
        self.folder = Path(tempfile.mkdtemp(prefix="tf-bench-mongod-"))
        self.port = Port()
        log = self.folder / "log"
        self.process = subprocess.Popen(
            [binary, "--quiet", "--bind_ip", "127.0.0.1", "--port", str(self.port.number),
             "--dbpath", self.folder, "--logpath", log, "--nounixsocket",
             "--wiredTigerCacheSizeGB", "1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 30
        while '"Waiting for connections"' not in (log.read_text() if log.exists() else ""):
            if self.process.poll() is not None or time.monotonic() > end:
                text = log.read_text()[-2000:] if log.exists() else ""
                self.__exit__()
                sys.exit(f"mongod does not start:\n{text}")
            time.sleep(0.05)
        return self

    def uri(self, database):
        return f"mongodb://127.0.0.1:{self.port.number}/{database}"

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.port.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def cpu_by_role(stack, mongod=None):
    """{role: CPU seconds so far}."""
    used = {}
    for pid, (_, name) in stack.tree().items():
        role = name.removeprefix("testflinger-")
        used[role] = used.get(role, 0.0) + cpu_seconds(pid)
    if mongod:
        used["mongod"] = cpu_seconds(mongod.process.pid)
    return used


def switches(stack):
    """Context switches of all threads of the server so far."""
    found = 0
    for pid in stack.tree():
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            found += sum(map(int, re.findall(r"ctxt_switches:\s*(\d+)", status.read_text())))
    return found


def commits(stack):
    """Transactions of an SQLite store so far, each one a wait for the disk with --sqlite-sync full;
    None: another store. The counter is iChange in the WAL's index."""
    if not stack.store.startswith("sqlite:"):
        return None
    with open(stack.store.removeprefix("sqlite:") + "-shm", "rb") as index:
        return struct.unpack_from("=I", index.read(12), 8)[0]


def launcher_default(name):
    """The default of a setting that is a number."""
    rows = (ROOT / "common/config.def").read_text()
    return int(re.search(rf'CFG_UINT\({name},[^\n]*?"(\d+)"', rows)[1])


def run_tool(name, *more, **options):
    """Runs one of this folder's programs; its line of JSON as a dict. It ends with the bench."""
    command = [tool(name)]
    for key, value in options.items():
        if value is not None:
            command += [f"--{key.replace('_', '-')}", str(value)]
    command += more
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"{name} failed ({done.returncode}): {done.stderr.strip() or done.stdout}")
    if answer["errors"] and not answer.get("first_error"):
        answer["first_error"] = done.stderr.strip()
    return answer


def table(header, rows):
    """Text of a table: the first two columns to the left, the others to the right. Markdown for tests/bench/all."""
    if os.environ.get("BENCH_MARKDOWN"):
        lines = [header, ["---" if i < 2 else "---:" for i in range(len(header))], *rows]
        return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    rows = [header] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])

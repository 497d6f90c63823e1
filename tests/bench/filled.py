"""A store with many finished jobs and fragments of logs, what it takes on the disk, and its sweep."""

import os
import re
import subprocess
import sys
import time
import urllib.request

import support
from stack import wait_until
from support import Port, Stack, run_tool

FIRST_STEP_MS = 3000  # of the sweep, after the start
STILL_S = 0.5         # without another step it has ended
LOGGED = 10            # one job in so many has all the fragments
EXPIRED = re.compile(r"^testflinger_expired_total(?:\{.*\})? ([\d.e+]+)$", re.MULTILINE)
SIZE_PY = """
import pymongo, sys
db = pymongo.MongoClient(sys.argv[1]).get_default_database()
db.client.admin.command("fsync")
found = db.command("dbStats")
print(int(found["storageSize"] + found["indexSize"]))
"""


def stored_bytes(uri, python):
    """What the store takes on the disk: data and indexes."""
    scheme, _, path = uri.partition(":")
    if scheme == "sqlite":
        return sum(os.path.getsize(p) for p in (path, path + "-wal") if os.path.exists(p))
    done = subprocess.run([python, "-c", SIZE_PY, uri], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout)


def put(uri, **options):
    done = run_tool("bench-fill", "--finished", store=uri, queue="finished", **options)
    if done["errors"]:
        sys.exit(f"filling {uri} failed: {done['first_error']}")


def fill(uri, jobs, fragments, python):
    """Adds so many finished jobs, then a tenth of them with all the fragments; bytes on the disk of each."""
    sizes = []
    run_tool("bench-fill", store=uri, queue="empty", jobs=1)
    sizes.append(stored_bytes(uri, python))
    put(uri, jobs=jobs)
    sizes.append(stored_bytes(uri, python))
    job = (sizes[1] - sizes[0]) / jobs
    if not fragments:
        return {"job": round(job)}
    logged = max(1, jobs // LOGGED)
    each = max(1, fragments // logged)
    put(uri, jobs=logged, fragments=each)
    grown = stored_bytes(uri, python) - sizes[1]
    return {"job": round(job), "fragment": round((grown - logged * job) / (logged * each))}


def expired(port):
    """What the sweep has removed so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        match = EXPIRED.search(answer.read().decode())
    return float(match[1]) if match else 0.0


def sweep(uri, what, mongod, seconds):
    """A server that removes what is older than a second, for so long: things a second, CPU us each by role."""
    port = Port(4)
    try:
        with Stack(uri, f"--expire-{what}", "1", "--metrics-port", port.number, "--sweep-interval", FIRST_STEP_MS,
                   workers=1) as stack:
            before, gone = support.cpu_by_role(stack, mongod), 0
            begun = wait_until(lambda: expired(port.number + 2) and time.monotonic(), "the sweep begins")
            ended = begun
            while time.monotonic() < begun + seconds and (gone < (now := expired(port.number + 2)) or
                                                          time.monotonic() < ended + STILL_S):
                if now > gone:
                    gone, ended = now, time.monotonic()
                time.sleep(0.02)
            after = support.cpu_by_role(stack, mongod)
    finally:
        port.release()
    used = {role: after[role] - before.get(role, 0.0) for role in after}
    return {"operation": f"sweep_{what}", "per_s": gone / max(0.05, ended - begun),
            "cpu_us": {role: round(1e6 * s / max(1, gone)) for role, s in used.items()}}

"""Load on the whole server while its processes are killed, then an exact account.

    tests/chaos/run [--minutes N | --seconds N] [--store sqlite|mongodb|replicas] [--plain]

Without --store: both kinds of store, one after the other, for half of the time each. --plain: nobody
is killed; no answer may be a 5xx. The last line says the result; the exit status is 1 after a fault,
and then the server's log is kept."""

import argparse
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))
from account import Account  # noqa: E402
from load import Agent, Client, Submitter  # noqa: E402
from mongo import Mongod  # noqa: E402
from replica_set import ReplicaSet  # noqa: E402
from stack import Stack  # noqa: E402

KILL_SECONDS = 0.5
ALL_SECONDS = 20       # between two deaths of everything at once
PRIMARY_SECONDS = 12   # between two deaths of the primary
BACKLOG = 100          # jobs that wait
CALM_SECONDS = 60      # for the agents to get what is left after the last kill
RETURN_SECONDS = 8     # a claim whose answer was lost is given again within this time
ROLES = ("frontend", "broker", "worker")
QUEUES = [f"chaos-{n}" for n in range(4)]
FAULTS_SHOWN = 40


class Killer:
    """Kills a process every half second, of every role in turn: a child, now and then the master."""

    def __init__(self, stack, replicas):
        self.stack, self.replicas = stack, replicas
        self.killed = Counter()
        self.turn = 0

    def run(self, seconds):
        end = time.monotonic() + seconds
        next_all = time.monotonic() + ALL_SECONDS
        next_primary = time.monotonic() + PRIMARY_SECONDS / 2
        while time.monotonic() < end:
            time.sleep(KILL_SECONDS)
            if time.monotonic() > next_all:
                self.kill_everything()
                next_all = time.monotonic() + ALL_SECONDS
            elif self.replicas and time.monotonic() > next_primary:
                self.kill_primary()
                next_primary = time.monotonic() + PRIMARY_SECONDS
            else:
                self.kill_one()

    def kill_one(self):
        role = ROLES[self.turn % len(ROLES)]
        self.turn += 1
        children = self.stack.children(role)
        masters = [p for p in self.stack.pids(role) if p not in children]
        kind = "master" if masters and random.random() < 0.15 else "child"
        victims = masters if kind == "master" else children
        if victims:
            self.stack.signal(signal.SIGKILL, [random.choice(victims)])
            self.killed[f"{role} {kind}"] += 1

    def kill_everything(self):
        self.stack.kill_all()
        self.stack.launch()
        self.killed["everything"] += 1

    def kill_primary(self):
        member = self.replicas.kill_primary()
        self.killed["primary"] += 1
        threading.Timer(4, member.start).start()


class Run:
    def __init__(self, name, stack, options, replicas=None):
        self.name, self.stack, self.options, self.replicas = name, stack, options, replicas
        self.over, self.calm = threading.Event(), threading.Event()
        port = stack.port.number
        self.submitters = [Submitter(n, port, QUEUES, self.over, self.is_enough)
                           for n in range(options.clients // 2)]
        self.agents = [Agent(n, port, random.sample(QUEUES, len(QUEUES)), self.calm)
                       for n in range(options.clients - options.clients // 2)]

    def go(self, seconds):
        """Returns the faults."""
        for thread in [*self.agents, *self.submitters]:
            thread.start()
        killer = Killer(self.stack, self.replicas)
        if self.options.plain:
            time.sleep(seconds)
        else:
            killer.run(seconds)
        self.over.set()
        self.join(self.submitters, 90)
        self.await_rest()
        self.calm.set()
        self.join(self.agents, 90)
        account = Account(self.stack.port.number, self.submitters, self.agents)
        faults = account.check() + self.plain_faults()
        self.report(account, killer)
        return faults

    def is_enough(self):
        """Submitters are faster than agents: they wait while many jobs do."""
        submitted = sum(len(s.acknowledged) for s in self.submitters)
        return submitted - sum(len(a.received) for a in self.agents) > BACKLOG

    @staticmethod
    def join(threads, seconds):
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
            if thread.is_alive():
                thread.fault = thread.fault or "it hangs"

    def await_rest(self):
        """Waits until agents have got everything, or get nothing more."""
        client = Client(self.stack.port.number)
        ready = time.monotonic() + CALM_SECONDS
        while time.monotonic() < ready:
            answer = client.call("GET", "/v1/")
            if answer and answer[0] == 200:
                break
            time.sleep(0.1)
        end = time.monotonic() + CALM_SECONDS
        quiet, last = time.monotonic(), -1
        while time.monotonic() < end:
            acknowledged = {j for s in self.submitters for j in s.acknowledged}
            done = {j for a in self.agents for j, r in list(a.received.items()) if r.complete}
            if acknowledged <= done:
                return
            if len(done) != last:
                quiet, last = time.monotonic(), len(done)
            if time.monotonic() - quiet > RETURN_SECONDS:
                return
            time.sleep(0.1)

    def plain_faults(self):
        if not self.options.plain:
            return []
        counts = self.counts()
        return [f"{n} answers were {status}" for status, n in counts.items()
                if status == "broken" or status >= 500]

    def counts(self):
        return sum((Counter(t.client.counts) for t in [*self.submitters, *self.agents]), Counter())

    def report(self, account, killer):
        threads = [*self.submitters, *self.agents]
        for name, value in account.facts.items():
            print(f"  {name}: {value}")
        print("  answers:", ", ".join(f"{n} x {s}" for s, n in sorted(self.counts().items(), key=str)))
        print(f"  slowest: {max(t.client.slowest for t in threads):.1f} s")
        if killer.killed:
            print("  killed:", ", ".join(f"{n} x {what}" for what, n in sorted(killer.killed.items())))


def run(kind, seconds, options):
    """One store; returns the faults."""
    print(f"== {kind}, {seconds:.0f} s{', nobody is killed' if options.plain else ''}", flush=True)
    database = {"mongodb": Mongod, "replicas": ReplicaSet}.get(kind)
    database = database and database()
    stack = Stack(database.uri("chaos") if database else "sqlite:{folder}/data.db",
                  "--heartbeat", 200, frontends=2, workers=3, brokers=2)
    faults = ["it did not run"]
    try:
        stack.start()
        faults = Run(kind, stack, options, database if kind == "replicas" else None).go(seconds)
        faults += [f for f in stack.faults()]
    finally:
        if stack.process and stack.process.poll() is None:
            stack.kill_all()
        stack.port.release()
        if database:
            time.sleep(0 if options.plain else 4.1)  # a member may be about to be started
            database.remove()
        if not faults:
            shutil.rmtree(stack.folder)
    for fault in faults[:FAULTS_SHOWN]:
        print("  FAULT", fault)
    if faults:
        print(f"  {len(faults)} faults; the server's log: {stack.folder}/stderr")
    return faults


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--store", choices=["sqlite", "mongodb", "replicas"])
    p.add_argument("--plain", action="store_true", help="kill nobody")
    p.add_argument("--clients", type=int, help="connections; default 16, with --plain 64")
    options = p.parse_args()
    options.clients = options.clients or (64 if options.plain else 16)
    kinds = [options.store] if options.store else ["sqlite", "mongodb"]
    seconds = (options.minutes * 60 if options.minutes else options.seconds) / len(kinds)
    faults = [f for kind in kinds for f in run(kind, seconds, options)]
    print("chaos:", f"{len(faults)} faults" if faults else "nothing lost, nothing doubled")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

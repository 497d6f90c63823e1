"""Load on the whole server while faults come, then an exact account.

    tests/chaos/run [--minutes N | --seconds N | --long] [--store sqlite|mongodb|replicas]
                    [--faults kill,all,hup,stop,freeze,store,primary,hold,cut,slow,clocks,releases] [--plain]
                    [--roles frontend,broker,worker,webhook]

Without --store: both kinds of store, one after the other, for half of the time each. Faults, default
kill,all,hup: processes are killed, all of them; HUP; processes are stopped for 1 to 10 s, alone (stop) or
with their master, which cannot replace them then (freeze); mongod is stopped (store); the primary is
killed; a relay on the bus holds connections up, cuts and slows them; workers' clocks differ by a minute
(clocks, MongoDB only); frontends, brokers and workers are taken to a second release and back, one role
after the other (releases). --long: all of them, for an hour. --plain: no faults; no answer may be a 5xx. It
prints the longest time in which no request was answered: with one fault alone this is what the fault
costs. The last line says the result; the exit status is 1 after a fault of the server, and then its log
is kept."""

import argparse
import random
import shutil
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))
from account import Account  # noqa: E402
from apart import FAKETIME, ApartStack  # noqa: E402
from faults import ROLES, Faults  # noqa: E402
from load import Agent, Client, Gap, Submitter  # noqa: E402
from mongo import Mongod  # noqa: E402
from receiver import Receiver  # noqa: E402
from replica_set import ReplicaSet  # noqa: E402
from second_release import second_release  # noqa: E402
from stack import Stack  # noqa: E402

BACKLOG = 100          # jobs that wait
CALM_SECONDS = 60      # for the agents to get what is left after the last kill
RETURN_SECONDS = 8     # a claim whose answer was lost is given again within this time
APART_FAULTS = {"hold", "cut", "slow", "releases"}
QUEUES = [f"chaos-{n}" for n in range(4)]
FAULTS_SHOWN = 40


class Run:
    def __init__(self, stack, options, receiver, database=None):
        self.stack, self.options, self.receiver, self.database = stack, options, receiver, database
        self.over, self.calm = threading.Event(), threading.Event()
        port = stack.port.number
        self.submitters = [Submitter(n, port, QUEUES, self.over, self.is_enough)
                           for n in range(options.clients // 2)]
        self.agents = [Agent(n, port, random.sample(QUEUES, len(QUEUES)), self.calm,
                             receiver.url)
                       for n in range(options.clients - options.clients // 2)]

    def go(self, seconds):
        """Returns the faults."""
        for thread in [*self.agents, *self.submitters]:
            thread.start()
        faults = Faults(self.stack, self.options.faults, self.database, self.options.roles)
        Gap.begin()
        faults.run(seconds)
        longest = Gap.longest()
        self.over.set()
        self.join(self.submitters, 90)
        self.await_rest()
        self.calm.set()
        self.join(self.agents, 90)
        account = Account(self.stack.port.number, self.submitters, self.agents, self.receiver)
        found = account.check() + self.plain_faults()
        self.report(account, faults, longest)
        return found

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

    def report(self, account, faults, longest):
        threads = [*self.submitters, *self.agents]
        for name, value in account.facts.items():
            print(f"  {name}: {value}")
        print("  answers:", ", ".join(f"{n} x {s}" for s, n in sorted(self.counts().items(), key=str)))
        print(f"  slowest: {max(t.client.slowest for t in threads):.1f} s")
        print(f"  longest time without an answer: {longest:.1f} s")
        if faults.done:
            print("  faults:", ", ".join(f"{n} x {what}" for what, n in sorted(faults.done.items())))


def new_stack(store, options, clocks):
    """The launcher's server; for faults of the bus or clocks, one whose roles start apart."""
    counts = {"frontends": 2, "workers": 3, "brokers": 2, "webhooks": 2}
    settings = ["--heartbeat", 200, "--webhook-reply", "queued", "--webhook-backoff", 300]
    if clocks or APART_FAULTS & options.faults:
        second = second_release() if "releases" in options.faults else None
        settings += ["--webhook-private", "allow"]  # its default depends on where the frontends listen
        return ApartStack(store, *settings, clocks=clocks, second=second, **{**counts, "brokers": 1})
    return Stack(store, *settings, **counts)


def run(kind, seconds, options):
    """One store; returns the faults."""
    print(f"== {kind}, {seconds:.0f} s{', no faults' if options.plain else ''}", flush=True)
    database = {"mongodb": Mongod, "replicas": ReplicaSet}.get(kind)
    database = database and database()
    try:
        stack = new_stack(database.uri("chaos") if database else "sqlite:{folder}/data.db", options,
                          bool(database) and "clocks" in options.faults)
    except BaseException:
        if database:
            database.remove()
        raise
    receiver = Receiver().start()
    faults = ["it did not run"]
    try:
        stack.start()
        faults = Run(stack, options, receiver, database).go(seconds)
        faults += [f for f in stack.faults()]
    finally:
        if stack.process and stack.process.poll() is None:
            stack.kill_all()
        stack.port.release()
        receiver.stop()
        receiver.port.release()
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
    p.add_argument("--faults", type=lambda text: set(text.split(",")), default={"kill", "all", "hup"})
    p.add_argument("--roles", type=lambda text: text.split(","), default=ROLES,
                   help="whose processes are killed or stopped (kill, stop)")
    p.add_argument("--long", action="store_true", help="all faults, for an hour")
    p.add_argument("--plain", action="store_true", help="no faults")
    p.add_argument("--clients", type=int, help="connections; default 16, with --plain 64")
    options = p.parse_args()
    if options.long:
        options.minutes, options.faults = options.minutes or 60, {*Faults.PLAN, "clocks"}
    unknown = (options.faults - {*Faults.PLAN, "clocks"}) | ({*options.roles} - {*ROLES})
    if unknown:
        p.error(f"no such faults or roles: {', '.join(sorted(unknown))}")
    if "clocks" in options.faults and not FAKETIME.exists():
        p.error(f"{FAKETIME} is missing: install Debian's faketime")
    if options.plain:
        options.faults = set()
    elif options.store == "replicas":
        options.faults = (options.faults | {"primary"}) - {"store"}
    else:
        options.faults.discard("primary")
    options.clients = options.clients or (64 if options.plain else 16)
    kinds = [options.store] if options.store else ["sqlite", "mongodb"]
    seconds = (options.minutes * 60 if options.minutes else options.seconds) / len(kinds)
    faults = [f for kind in kinds for f in run(kind, seconds, options)]
    print("chaos:", f"{len(faults)} faults" if faults else "nothing lost, nothing doubled")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

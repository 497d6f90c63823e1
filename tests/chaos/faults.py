"""The faults, each by its name in --faults, and the thread of time that brings them in."""

import os
import random
import signal
import threading
import time
from collections import Counter

ROLES = ("frontend", "broker", "worker", "webhook")
PRIMARY_AWAY_SECONDS = 4


class Faults:
    """Causes the chosen faults until run() ends, which resumes all stopped processes."""

    # name: (seconds between two of them, method)
    PLAN = {"kill": (0.5, "kill_one"), "all": (20, "kill_everything"), "hup": (7, "hup"),
            "stop": (5, "stop_one"), "freeze": (8, "freeze_one"), "store": (15, "stop_store"),
            "hold": (9, "hold"), "cut": (4, "cut"), "slow": (11, "slow"), "primary": (12, "kill_primary"),
            "releases": (3, "roll")}

    def __init__(self, stack, chosen, database=None, roles=ROLES):
        self.stack, self.database, self.roles = stack, database, roles
        self.chosen = [name for name in self.PLAN if name in chosen]
        self.done, self.turn, self.stopped = Counter(), 0, {}
        self.threads = []

    def run(self, seconds):
        now = time.monotonic()
        end = now + seconds
        due = {name: now + self.PLAN[name][0] / (2 if self.PLAN[name][0] > 1 else 1) for name in self.chosen}
        while (now := time.monotonic()) < end:
            for name in self.chosen:
                if now >= due[name]:
                    getattr(self, self.PLAN[name][1])()
                    due[name] = time.monotonic() + self.PLAN[name][0]
            if hasattr(self.stack, "revive"):
                self.stack.revive()
            time.sleep(0.05)
        for thread in self.threads:
            thread.join()

    def _later(self, seconds, action):
        thread = threading.Timer(seconds, action)
        self.threads.append(thread)
        thread.start()

    def _beside(self, action, *arguments):
        thread = threading.Thread(target=action, args=arguments)
        self.threads.append(thread)
        thread.start()

    def _role(self):
        roles = [role for role in self.roles if self.stack.counts[role]]
        self.turn += 1
        return roles[self.turn % len(roles)]

    def kill_one(self):
        role = self._role()
        children = self.stack.children(role)
        masters = [p for p in self.stack.pids(role) if p not in children]
        kind = "master" if masters and random.random() < 0.15 else "child"
        victims = masters if kind == "master" else children
        if victims:
            self._signal(signal.SIGKILL, random.choice(victims))
            self.done[f"{role} {kind} killed"] += 1

    def kill_everything(self):
        self.stack.undisturbed = None
        self.stack.kill_all()
        self.stack.launch()
        self.done["everything killed"] += 1

    def kill_primary(self):
        member = self.database.kill_primary()
        self.done["primary killed"] += 1
        self._later(PRIMARY_AWAY_SECONDS, member.start)

    def hup(self):
        self._signal(signal.SIGHUP, self.stack.process.pid)
        self.done["HUP"] += 1

    def stop_one(self):
        role = self._role()
        victims = [p for p in self.stack.children(role) if p not in self.stopped]
        if victims:
            self._stop(random.choice(victims))
            self.done[f"{role} stopped"] += 1

    def freeze_one(self):
        """Stops a child together with its master, which cannot replace it."""
        role = self._role()
        tree = self.stack.tree()
        victims = [p for p in self.stack.children(role, tree) if not {p, tree[p][0]} & {*self.stopped}]
        if victims:
            victim = random.choice(victims)
            seconds = random.uniform(1, 10)
            for pid in (tree[victim][0], victim):
                self._stop(pid, seconds)
            self.done[f"{role} frozen"] += 1

    def stop_store(self):
        if self.database:
            self._stop(self.database.process.pid)
            self.done["mongod stopped"] += 1

    def _stop(self, pid, seconds=None):
        self.stopped[pid] = True
        self._signal(signal.SIGSTOP, pid)
        self._later(seconds or random.uniform(1, 10), lambda: self._go_on(pid))

    def _go_on(self, pid):
        self._signal(signal.SIGCONT, pid)
        self.stopped.pop(pid, None)

    def _signal(self, sig, pid):
        self.stack.undisturbed = None
        try:
            os.kill(pid, sig)
        except ProcessLookupError:  # it has ended meanwhile
            pass

    def hold(self):
        self._beside(self.stack.relay.hold, random.uniform(1, 5))
        self.done["bus held up"] += 1

    def cut(self):
        self.stack.relay.cut()
        self.done["bus cut"] += 1

    def slow(self):
        self._beside(self.stack.relay.slow, random.uniform(2, 6))
        self.done["bus slowed"] += 1

    def roll(self):
        self._beside(lambda: self.done.update([self.stack.roll()]))

"""A server whose brokers stand behind a relay, and whose further workers have clocks of their own: masters
beside those of the launcher. It may also take the roles to another release and back."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))
from relay import Relay  # noqa: E402
from stack import BIN, Port, Stack, descendants, wait_until  # noqa: E402

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
SKEWS = ("+60s", "-60s")
ROLLED = ("worker", "broker", "frontend")
# The order of an upgrade, and of the way back: (role, whether to the second release).
ROLLS = [*((role, True) for role in ROLLED), *((role, False) for role in ROLLED[::-1])]


class ApartStack(Stack):
    """`clocks`: two further workers, a minute ahead and a minute behind. `second`: the BIN of another
    release, to which roll() takes frontends, brokers and workers; then these are masters, too."""

    def __init__(self, store, *options, clocks=False, second=None, brokers=2, **counts):
        super().__init__(store, *options, brokers=brokers, **counts)
        settings = zip(options[::2], options[1::2], strict=True)
        self.settings = {f"TESTFLINGER_{name[2:].upper().replace('-', '_')}": str(value)
                         for name, value in settings}
        self.clocks, self.second, self.rolled, self.binaries = clocks, second, 0, {}
        self.masters, self.lock, self.roll_faults = {}, threading.RLock(), []
        self.relayed, self.bus = Port(2 * brokers), Port(2 * brokers)
        self.relay = Relay({self.relayed.number + n: self.bus.number + n for n in range(2 * brokers)})

    def command(self):
        """The launcher's processes use brokers that it does not start."""
        command = super().command()
        command[command.index("--bus") + 1] = self._address(self.relayed)
        for role in ("broker", *(ROLLED if self.second else ())):
            command[command.index(f"--{role}s") + 1] = "0"
        return command

    @staticmethod
    def _address(which):
        return f"tcp://127.0.0.1:{which.number}"

    def launch(self):
        with self.lock:
            names = [*(ROLLED if self.second else ["broker"]), *(SKEWS if self.clocks else [])]
            self.masters = {name: self._master(name) for name in names}
            super().launch()

    def _master(self, name):
        """Starts the master of a role, or of one worker with a clock of its own."""
        role, skew = ("worker", name) if name in SKEWS else (name, None)
        env = {**os.environ, **self.settings, **self.env}
        if skew:
            env |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": skew, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    "FAKETIME_DONT_RESET": "1"}
        options = {"bus": self._address(self.bus if role == "broker" else self.relayed), "log-format": "json",
                   "processes": 1 if skew else self.counts[role]}
        if role != "broker":
            options["brokers"] = self.counts["broker"]
        if role == "worker":
            options["store"] = self.store
        if role == "frontend":
            options["listen"] = f"127.0.0.1:{self.port.number}"
        given = [str(x) for pair in options.items() for x in (f"--{pair[0]}", pair[1])]
        with open(self.folder / "stderr", "ab") as err:
            return subprocess.Popen([self.binaries.get(name, BIN) / f"testflinger-{role}", *given], env=env,
                                    cwd=self.folder, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                    start_new_session=True)

    def roll(self):
        """Takes the next role to the other release, as an upgrade does or the way back; says what it did."""
        role, upgrade = ROLLS[self.rolled % len(ROLLS)]
        self.rolled += 1
        with self.lock:
            self.binaries[role] = self.second if upgrade else BIN
            old = self.masters[role]
            if role == "worker":  # both for a while
                self.masters[role] = self._master(role)
                time.sleep(1)
                self._end(role, old)
            else:
                self._end(role, old)
                self.masters[role] = self._master(role)
            # The next roll may follow at once, and a process that has just begun cannot end in order.
            new = self.masters[role]
            wait_until(lambda: len(descendants(new.pid)) > self.counts[role] or new.poll() is not None,
                       f"the new {role} runs")
        return f"{role} {'upgraded' if upgrade else 'taken back'}"

    def _end(self, role, master):
        master.terminate()
        try:
            if master.wait(15) not in (0, -signal.SIGKILL):  # another fault may have killed it
                self.roll_faults.append(f"the {role} that was replaced ended with {master.returncode}")
        except subprocess.TimeoutExpired:
            self.roll_faults.append(f"the {role} that was replaced did not end within 15 s")
            master.kill()
            master.wait()

    def _is_up(self):
        if not self.second:
            return super()._is_up()
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def is_complete(self):
        roles = ROLLED if self.second else ("broker",)
        return all(len(self.children(role)) >= self.counts[role] for role in roles) and bool(
            self.children("worker"))

    def tree(self):
        found = super().tree()
        for master in self.masters.values():
            found |= descendants(master.pid)
        return found

    def kill_all(self):
        with self.lock:
            super().kill_all()
            self._wait(signal.SIGKILL)

    def faults(self):
        masters, self.masters, self.undisturbed = self.masters, {}, None
        found = super().faults()  # the launcher's processes need the others to end in order
        self.masters = masters
        self._wait(signal.SIGTERM)
        self.relay.close()
        for port in (self.relayed, self.bus):
            port.release()
        return found + self.roll_faults

    def revive(self):
        """Starts masters that were killed: they have no launcher."""
        if not self.lock.acquire(blocking=False):  # one is being replaced
            return
        try:
            for name, master in self.masters.items():
                if master.poll() is not None:
                    time.sleep(0.1)
                    self.masters[name] = self._master(name)
        finally:
            self.lock.release()

    def _wait(self, sig):
        for master in self.masters.values():
            if master.poll() is None:
                master.send_signal(sig)
        for master in self.masters.values():
            try:
                master.wait(15)
            except subprocess.TimeoutExpired:
                master.kill()
                master.wait()

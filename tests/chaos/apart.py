"""A server whose brokers stand behind a relay, and whose further workers have clocks of their own: masters
beside those of the launcher."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))
from relay import Relay  # noqa: E402
from stack import BIN, Port, Stack, descendants  # noqa: E402

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
SKEWS = ("+60s", "-60s")


def ports(n):
    """The first of n free ports in a row, with all of them."""
    while True:
        found = [Port()]
        try:
            while len(found) < n:
                found.append(Port([found[0].number + len(found)]))
            return found
        except RuntimeError:
            for port in found:
                port.release()


class ApartStack(Stack):
    """`clocks`: two further workers, a minute ahead and a minute behind. Two releases: give a further master
    the BIN of the other release (issue 14.1)."""

    def __init__(self, store, *options, clocks=False, brokers=2, **counts):
        super().__init__(store, *options, brokers=brokers, **counts)
        self.clocks, self.masters = clocks, []
        self.relayed, self.bus = ports(2 * brokers), ports(2 * brokers)
        self.relay = Relay({a.number: b.number for a, b in zip(self.relayed, self.bus, strict=True)})

    def command(self):
        """The launcher's frontends and workers use brokers that it does not start."""
        command = super().command()
        command[command.index("--bus") + 1] = self._address(self.relayed)
        command[command.index("--brokers") + 1] = "0"
        return command

    @staticmethod
    def _address(which):
        return f"tcp://127.0.0.1:{which[0].number}"

    def launch(self):
        self.masters = [self._master("broker", self.bus, self.counts["broker"])]
        if self.clocks:
            self.masters += [self._master("worker", self.relayed, 1, "--store", self.store, skew=skew)
                             for skew in SKEWS]
        super().launch()

    def _master(self, role, bus, processes, *options, skew=None):
        env = {**os.environ, **self.env}
        if skew:
            env |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": skew, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    "FAKETIME_DONT_RESET": "1"}
        common = ["--bus", self._address(bus), "--processes", str(processes), "--log-format", "json",
                  "--heartbeat", "200"]
        if role == "worker":
            common += ["--brokers", str(self.counts["broker"])]
        with open(self.folder / "stderr", "ab") as err:
            return subprocess.Popen([BIN / f"testflinger-{role}", *common, *options], env=env,
                                    cwd=self.folder, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                    start_new_session=True)

    def is_complete(self):
        return len(self.children("broker")) == self.counts["broker"] and bool(self.children("worker"))

    def tree(self):
        found = super().tree()
        for master in self.masters:
            found |= descendants(master.pid)
        return found

    def kill_all(self):
        super().kill_all()
        self._wait(signal.SIGKILL)

    def faults(self):
        masters, self.masters, self.undisturbed = self.masters, [], None
        found = super().faults()  # the launcher's processes need the others to end in order
        self.masters = masters
        self._wait(signal.SIGTERM)
        self.relay.close()
        for port in [*self.relayed, *self.bus]:
            port.release()
        return found

    def revive(self):
        """Starts masters that were killed: they have no launcher."""
        for i, master in enumerate(self.masters):
            if master.poll() is not None:
                self.masters[i] = self._again(i)

    def _again(self, i):
        time.sleep(0.1)
        if i == 0:
            return self._master("broker", self.bus, self.counts["broker"])
        return self._master("worker", self.relayed, 1, "--store", self.store, skew=SKEWS[i - 1])

    def _wait(self, sig):
        for master in self.masters:
            if master.poll() is None:
                master.send_signal(sig)
        for master in self.masters:
            try:
                master.wait(15)
            except subprocess.TimeoutExpired:
                master.kill()
                master.wait()

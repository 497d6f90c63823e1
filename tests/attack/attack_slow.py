"""4,200 connections that send one byte and then nothing, or one byte now and then: of one address,
and of four. Each new one that is cut comes back. Others must not notice."""

import argparse
import contextlib
import selectors
import sys
import time

import support
from support import Bystander, Watch, bound, expect, figure, finish, server

REQUEST = b"GET /v1/agents/data HTTP/1.1\r\nHost: attack\r\n" + b"X: " + b"y" * 4000


class Crowd:
    """Connections that send a byte of a head each `pause` seconds, and come back when cut."""

    def __init__(self, stack, sources, size, pause):
        self.stack, self.sources, self.size, self.pause = stack, sources, size, pause
        self.selector = selectors.DefaultSelector()
        self.opened = self.cut = self.most = 0
        self.sent = {}

    def open(self):
        source = self.sources[self.opened % len(self.sources)]
        self.opened += 1
        with contextlib.suppress(OSError):
            c = support.connect(self.stack, source, timeout=1)
            c.setblocking(False)
            self.selector.register(c, selectors.EVENT_READ)
            self.sent[c] = 0
            c.send(REQUEST[:1])

    def drop(self, c):
        self.selector.unregister(c)
        del self.sent[c]
        c.close()
        self.cut += 1

    def run(self, seconds, fresh_a_second=400):
        end, drip, refill = time.monotonic() + seconds, time.monotonic() + self.pause, 0
        for _ in range(self.size):
            self.open()
        while time.monotonic() < end:
            for key, _ in self.selector.select(0.05):
                self.drop(key.fileobj)
            self.most = max(self.most, len(self.sent))
            if time.monotonic() > drip:
                drip += self.pause
                for c in list(self.sent):
                    self.sent[c] += 1
                    with contextlib.suppress(OSError):
                        c.send(REQUEST[self.sent[c]:self.sent[c] + 1])
            if time.monotonic() > refill:
                refill = time.monotonic() + 0.25
                for _ in range(min(self.size - len(self.sent), fresh_a_second // 4)):
                    self.open()

    def close(self):
        for c in list(self.sent):
            self.drop(c)


def attack(name, sources, size, seconds):
    with server("--max-connections", 4096) as stack:
        with Watch(stack) as memory, Bystander(stack) as kept, \
                Bystander(stack, fresh=True, source="127.1.1.2") as fresh:
            crowd = Crowd(stack, sources, size, pause=5)
            crowd.run(seconds)
        crowd.close()
    figure(f"{name}: connections opened", crowd.opened, "")
    figure(f"{name}: most at a time", crowd.most, "")
    figure(f"{name}: cut by the server", crowd.cut, "")
    for who, other in (("kept connection", kept), ("new connections", fresh)):
        other.report(f"{name}: others, {who}")
        bound(f"{name}: others' p99, {who}", other.percentile(99) * 1000, "ms", most=50)
        expect(f"{name}: others, {who}, without errors", other.errors == 0)
    bound(f"{name}: frontend's memory", memory.peak_mib(), "MiB", most=100)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seconds", type=float, default=30)
    p.add_argument("--size", type=int, default=4200)
    options = p.parse_args()
    attack("one address", ["127.0.0.66"], options.size, options.seconds)
    attack("four addresses", [f"127.0.0.{i}" for i in range(66, 70)], options.size, options.seconds)
    return finish()


if __name__ == "__main__":
    sys.exit(main())

"""Ten clients ask for a job of 15 MiB over and over, from one address and from ten, while others
submit small jobs. Prints how many jobs a second others submit alone and beside the readers, and the
readers' rate; on both stores (mongodb: where a mongod is found). Takes about 90 s a store.

Bounds: others keep a fifth of what they have alone, and the readers are served all the same. The
readers, and the processes that send 15 MiB to them, use this machine's CPUs too: on two CPUs, one
reader leaves others about half."""

import json
import socket
import sys
import time
import urllib.request
from multiprocessing import Event, Process, Value

from support import Bystander, bound, expect, figure, finish, server
from mongo import Mongod  # noqa: E402  (support adds its folder)

SIZE, READERS, SECONDS, POSTERS = 15 << 20, 10, 12, 2
LEAST = 0.2  # of the jobs a second that others submit alone


def big_body():
    """A job whose answer is about as long as itself."""
    return json.dumps({"job_queue": "big", "test_data": {"test_cmds": "x" * SIZE}}).encode()


def post(stack, body):
    request = urllib.request.Request(f"{stack.url}/v1/job", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["job_id"]


def read_over_and_over(port, job, source, ended, answers, refused):
    """One reader, in a process of its own; reads as fast as it can and discards what it reads."""
    buffer = bytearray(1 << 20)
    ask = f"GET /v1/job/{job} HTTP/1.1\r\nHost: reader\r\n\r\n".encode()
    while not ended.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30,
                                          source_address=(source, 0)) as sock:
                while not ended.is_set():
                    sock.sendall(ask)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        part = sock.recv(4096)
                        if not part:
                            raise ConnectionError
                        head += part
                    head, _, rest = head.partition(b"\r\n\r\n")
                    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                                  if line.lower().startswith(b"content-length"))
                    left = length - len(rest)
                    while left:
                        n = sock.recv_into(buffer, min(left, len(buffer)))
                        if not n:
                            raise ConnectionError
                        left -= n
                    ok = head.split()[1] == b"200"
                    with (answers if ok else refused).get_lock():
                        (answers if ok else refused).value += 1
                    if not ok:
                        time.sleep(0.1)
        except OSError:
            time.sleep(0.1)


class Readers:
    def __init__(self, stack, job, sources):
        self.ended, self.answers, self.refused = Event(), Value("i", 0), Value("i", 0)
        self.processes = [
            Process(target=read_over_and_over, daemon=True,
                    args=(stack.port.number, job, source, self.ended, self.answers, self.refused))
            for source in sources]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for process in self.processes:
            process.join(40)


def others(stack):
    """Posts a second of the others, and their 99th percentile in ms."""
    body = json.dumps({"job_queue": "small", "test_data": {"test_cmds": "true"}}).encode()
    request = (b"POST /v1/job HTTP/1.1\r\nHost: other\r\nContent-Type: application/json\r\n"
               b"Content-Length: %d\r\n\r\n" % len(body)) + body
    posters = [Bystander(stack, request=request, pause=0.002, source=f"127.9.0.{n + 1}")
               for n in range(POSTERS)]
    for poster in posters:
        poster.__enter__()
    time.sleep(SECONDS)
    for poster in posters:
        poster._ended.set()
    for poster in posters:
        poster.__exit__()
    times = sorted(t for poster in posters for t in poster.times)
    errors = sum(poster.errors for poster in posters)
    return len(times) / SECONDS, times[int(len(times) * 0.99)] * 1000 if times else 0.0, errors


def attack(name, store, workers):
    with server("--auth", "open", store=store, workers=workers) as stack:
        job = post(stack, big_body())
        alone, p99, errors = others(stack)
        label = f"{name}, {workers} workers"
        figure(f"{label}: others alone", alone, "posts/s")
        figure(f"{label}: others alone, p99", p99, "ms")
        for kind, sources in (("one address", ["127.2.0.1"] * READERS),
                              ("ten addresses", [f"127.3.0.{n + 1}" for n in range(READERS)])):
            with Readers(stack, job, sources) as readers:
                time.sleep(1)
                before = readers.answers.value
                rate, p99, errors = others(stack)
                served = (readers.answers.value - before) / SECONDS
            figure(f"{label}: readers of {kind}", served, "jobs of 15 MiB/s")
            figure(f"{label}: readers of {kind}, refused", readers.refused.value, "")
            figure(f"{label}: others beside them", rate, "posts/s")
            figure(f"{label}: others beside them, p99", p99, "ms")
            bound(f"{label}: others beside {kind}, of what they have alone", rate / alone, "", least=LEAST)
            expect(f"{label}: no post fails", errors == 0)
            expect(f"{label}: the readers are served", served > 0)


def main():
    chosen = sys.argv[1:] or ["sqlite", "mongodb"]
    if "sqlite" in chosen:
        for workers in (4, 1):
            attack("sqlite", "sqlite:{folder}/data.db", workers)
    if "mongodb" in chosen:
        mongod = Mongod()
        try:
            attack("mongodb", mongod.uri("big_reads"), 4)
        finally:
            mongod.remove()
    sys.exit(finish())


if __name__ == "__main__":
    main()

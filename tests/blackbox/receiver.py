"""A webhook receiver that does what the path of a request tells it, a process of its own.

The first segment of the path is the behaviour, the rest is for the test's own use. Run as a program
it serves on the port that is given and keeps what it got in a file, a JSON object a line."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stack import Port, wait_until

BIG = b"x" * 65536


class Receiver:
    """Starts the process; `requests()` is what it got so far, in the order of arrival."""

    def __init__(self, port=None, tls=None, host="127.0.0.1"):
        self.port = port or Port()
        self.scheme = "https" if tls else "http"
        self.url = f"{self.scheme}://127.0.0.1:{self.port.number}"
        self.folder = Path(tempfile.mkdtemp(prefix="tf-receiver-"))
        self.file = self.folder / "requests"
        self.host, self.tls = host, tls
        self.process = None

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, self.host, str(self.port.number), str(self.file),
                 *map(str, self.tls or ())], stdout=log, stderr=log)
        wait_until(lambda: (self.folder / "requests.ready").exists(), "the receiver listens")
        return self

    def requests(self, part=""):
        """Those whose path holds this text."""
        if not self.file.exists():
            return []
        lines = self.file.read_text().splitlines(keepends=True)
        return [r for r in (json.loads(x) for x in lines if x.endswith("\n")) if part in r["path"]]

    def wait_for(self, n, part="", seconds=20):
        return wait_until(lambda: len(self.requests(part)) >= n and self.requests(part),
                          f"{n} requests to {part}", seconds)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None
            (self.folder / "requests.ready").unlink()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


# ---- the process ----

def answer(status, body=b"", headers=""):
    length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{length}{headers}\r\n".encode() + body


class Server:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.count = {}  # path: requests so far
        self.slow = {}

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in head[1:] if h)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        seen = self.count[path] = self.count.get(path, 0) + 1
        self.file.write(json.dumps({"at": time.time(), "method": method, "path": path,
                                    "headers": headers, "body": body.decode()}) + "\n")
        behaviour, _, argument = path.strip("/").split("?")[0].partition("/")
        act = getattr(self, "do_" + behaviour, None) or self.do_ok
        return await act(writer, argument.split("/")[0], seen)

    async def send(self, writer, data):
        writer.write(data)
        await writer.drain()
        return True

    async def do_ok(self, writer, _, __):
        return await self.send(writer, answer(200, b"thanks"))

    async def do_status(self, writer, argument, _):
        return await self.send(writer, answer(int(argument), f"status {argument}".encode()))

    async def do_fails(self, writer, argument, seen):
        """500 so many times, then 200."""
        failed = seen <= int(argument)
        return await self.send(writer, answer(500 if failed else 200, b"no" if failed else b"yes"))

    async def do_busy(self, writer, argument, seen):
        """429 once, with so many seconds to wait."""
        if seen == 1:
            return await self.send(writer, answer(429, b"busy", f"Retry-After: {argument}\r\n"))
        return await self.send(writer, answer(200, b"free"))

    async def do_reset(self, writer, argument, seen):
        if seen > int(argument or 1 << 30):
            return await self.send(writer, answer(200))
        sock = writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER: an RST
        writer.transport.abort()
        return False

    async def do_close(self, writer, _, __):
        return False

    async def do_hang(self, writer, argument, seen):
        """Never answers; with an argument only so many times."""
        if seen > int(argument or 1 << 30):
            return await self.send(writer, answer(200))
        await asyncio.sleep(60)
        return False

    async def do_sleep(self, writer, argument, _):
        """Answers after so many milliseconds."""
        await asyncio.sleep(int(argument) / 1000)
        return await self.send(writer, answer(200, b"late"))

    async def do_late503(self, writer, _, __):
        await asyncio.sleep(2)  # two processes may each learn it by a post; within the 3 s of a server
        return await self.send(writer, answer(503, b"late"))

    async def do_headers(self, writer, _, __):
        """Hangs after its headers."""
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await asyncio.sleep(60)
        return False

    async def do_drip(self, writer, _, __):
        """A body that never ends, a byte at a time."""
        await self.send(writer, b"HTTP/1.1 500 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(600):
            await self.send(writer, b"x")
            await asyncio.sleep(0.1)
        return False

    async def do_endless(self, writer, argument, __):
        """A body that never ends, as fast as it can."""
        await self.send(writer, f"HTTP/1.1 {argument or 200} OK\r\n\r\n".encode())
        while True:
            await self.send(writer, BIG)

    async def do_garbage(self, writer, _, __):
        await self.send(writer, b"this is not HTTP\r\n\r\n")
        return False

    async def do_redirect(self, writer, argument, _):
        """Elsewhere on this server, or, with a port, to another one."""
        place = f"http://127.0.0.1:{argument}/ok/stolen" if argument else "/ok/moved"
        return await self.send(writer, answer(307, b"", f"Location: {place}\r\n"))

    async def do_loop(self, writer, _, __):
        return await self.send(writer, answer(302, b"", "Location: /loop\r\n"))


async def main(host, port, path, certificate=None, key=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(Server(path).serve, host, port, backlog=2000,
                                        limit=1 << 24, ssl=context)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os._exit(0))
    Path(path + ".ready").touch()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))

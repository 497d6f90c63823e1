"""A relay between the bus's two sides on loopback, which holds connections up, cuts them and slows them
down."""

import socket
import threading
import time

PIECE = 4096


class Relay:
    """`ports`: {port that it listens on: port that it passes connections to}."""

    def __init__(self, ports):
        self.open, self.pairs, self.lock = threading.Event(), set(), threading.Lock()
        self.open.set()
        self.delay = 0.0  # seconds for each PIECE
        self.listeners = [self._listen(*pair) for pair in ports.items()]

    def hold(self, seconds):
        """Forwards nothing for so long; connections stay open."""
        self.open.clear()
        time.sleep(seconds)
        self.open.set()

    def cut(self):
        """Closes all connections, also in the middle of a message."""
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self._end(pair)

    def slow(self, seconds, delay=0.05):
        self.delay = delay
        time.sleep(seconds)
        self.delay = 0.0

    def close(self):
        for listener in self.listeners:
            listener.close()
        self.open.set()
        self.cut()

    def _listen(self, port, target):
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()
        return listener

    def _accept(self, listener, target):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            pair = (client, server)
            for each in pair:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(self, pair, source, sink):
        try:
            while data := source.recv(PIECE):
                self.open.wait()
                if self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        except OSError:
            pass
        self._end(pair)

    def _end(self, pair):
        with self.lock:
            if pair not in self.pairs:
                return
            self.pairs.remove(pair)
        for each in pair:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

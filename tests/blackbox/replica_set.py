"""A real MongoDB replica set of three members on this machine."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pymongo

from stack import Port, wait_until

NAME = "chaos"
ELECTION_MS = 2000  # without a heartbeat of the primary until others elect one


class Member:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tf-member-"))
        self.port = Port()
        self.address = f"127.0.0.1:{self.port.number}"
        self.process = None

    def start(self):
        binary = os.environ.get("MONGOD") or shutil.which("mongod")
        assert binary, "no mongod: set MONGOD, or run the tests by tests/run"
        self.process = subprocess.Popen(
            [binary, "--quiet", "--replSet", NAME, "--bind_ip", "127.0.0.1", "--port",
             str(self.port.number), "--dbpath", str(self.folder), "--logpath",
             str(self.folder / "log"), "--logappend", "--nounixsocket", "--oplogSize", "200",
             "--wiredTigerCacheSizeGB", "0.25"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def signal(self, sig):
        self.process.send_signal(sig)
        if sig == signal.SIGKILL:
            self.process.wait(30)

    def client(self):
        return pymongo.MongoClient(self.address, directConnection=True, serverSelectionTimeoutMS=500,
                                   socketTimeoutMS=2000, tz_aware=True)


class ReplicaSet:
    def __init__(self):
        self.members = [Member() for _ in range(3)]
        for member in self.members:
            member.start()
        config = {"_id": NAME, "settings": {"electionTimeoutMillis": ELECTION_MS},
                  "members": [{"_id": i, "host": m.address} for i, m in enumerate(self.members)]}
        first = self.members[0].client()
        wait_until(lambda: self._initiated(first, config), "the replica set accepts its members", 60)
        first.close()
        wait_until(self.primary, "a primary", 60)

    @staticmethod
    def _initiated(client, config):
        try:
            client.admin.command("replSetInitiate", config)
            return True
        except pymongo.errors.OperationFailure as fault:
            return fault.code == 23  # it was accepted before
        except pymongo.errors.PyMongoError:
            return False

    def uri(self, database):
        hosts = ",".join(m.address for m in self.members)
        return f"mongodb://{hosts}/{database}?replicaSet={NAME}"

    def primary(self):
        """The member that serves writes; None while there is none."""
        for member in self.members:
            if member.process.poll() is not None:
                continue
            client = member.client()
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return member
            except pymongo.errors.PyMongoError:
                pass
            finally:
                client.close()
        return None

    def await_primary(self, seconds=60):
        return wait_until(self.primary, "a primary", seconds)

    def kill_primary(self):
        """Kills it by SIGKILL and returns it; start() brings it back as a secondary."""
        member = self.await_primary()
        member.signal(signal.SIGKILL)
        return member

    def step_down(self):
        """Makes the primary step down in an orderly way."""
        client = self.await_primary().client()
        try:
            client.admin.command("replSetStepDown", 30, secondaryCatchUpPeriodSecs=5)
        except pymongo.errors.AutoReconnect:
            pass  # it may close connections
        finally:
            client.close()

    def remove(self):
        for member in self.members:
            if member.process.poll() is None:
                member.signal(signal.SIGCONT)
                member.signal(signal.SIGKILL)
            member.port.release()
            shutil.rmtree(member.folder, ignore_errors=True)

"""A real mongod on a free port with a data folder of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import pymongo

from stack import Port, wait_until


class Mongod:
    of_session = None  # that of the tests that need none of their own

    def __init__(self, *options):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="tf-mongod-"))
        self.port = Port()
        self.address = f"127.0.0.1:{self.port.number}"
        self.client = None
        self.databases = []  # made by new() and not yet dropped
        self.used = []  # names of databases whose server has ended, the one that waits longest first
        self.form = None  # of a database that a server has just made
        self.start()

    def start(self):
        binary = os.environ.get("MONGOD") or shutil.which("mongod")
        assert binary, "no mongod: set MONGOD, or in bash: . tests/setup.sh && make_venv"
        self.process = subprocess.Popen(
            [binary, "--quiet", "--bind_ip", "127.0.0.1", "--port", str(self.port.number),
             "--dbpath", str(self.folder), "--logpath", str(self.folder / "log"), "--nounixsocket",
             "--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false",
             *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with pymongo.MongoClient(self.address, serverSelectionTimeoutMS=500) as client:
            wait_until(lambda: self._answers(client), "mongod answers", 120)
        self.client = pymongo.MongoClient(self.address, tz_aware=True)

    def _answers(self, client):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            return client.admin.command("ping")
        except pymongo.errors.PyMongoError:
            return None

    def uri(self, database):
        return f"mongodb://{self.address}/{database}"

    def new(self):
        """The URI of a database that does not exist."""
        self.databases.append(f"test_{uuid.uuid4().hex}")
        return self.uri(self.databases[-1])

    def keep(self, uri):
        """Leaves a database of new() to the end of this process."""
        self.databases.remove(uri.rpartition("/")[2])
        return uri

    def drop(self):
        """Removes the databases of new(): each one makes mongod slower for the others."""
        while self.databases:
            self.client.drop_database(self.databases.pop())

    def take(self):
        """The URI of a database without documents. Its collections and their indexes are those of a server that
        has ended, if possible: to make them takes mongod as long as some hundred requests."""
        while len(self.used) > 1:  # a killed server's last write may still be under way in the newest one
            name = self.used.pop(0)
            if self.form_of(name) == self.form:
                self._empty(name)
                return self.uri(name)
            self.client.drop_database(name)
        return self.uri(f"test_{uuid.uuid4().hex}")

    def has_started(self, uri):
        """A server has started on a database of take()."""
        self.form = self.form or self.form_of(uri.rpartition("/")[2])

    def give_back(self, uri):
        """The last server on a database of take() has ended."""
        self.used.append(uri.rpartition("/")[2])

    def form_of(self, name):
        """{name of a collection: its options, its indexes}"""
        db = self.client[name]
        return {c["name"]: (c["options"], db[c["name"]].index_information()) for c in db.list_collections()}

    def _empty(self, name):
        for collection, (options, _) in self.form.items():
            if options.get("capped"):
                self.client[name].drop_collection(collection)
            else:
                self.client[name][collection].delete_many({})

    def stop(self):
        """Ends the process; start() brings the same data back."""
        self.client.close()
        self.process.terminate()
        self.process.wait(30)

    def kill(self):
        """Ends the process by SIGKILL; start() brings back what was acknowledged."""
        self.client.close()
        self.process.kill()
        self.process.wait(30)

    def remove(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self.stop()
        self.port.release()
        shutil.rmtree(self.folder)

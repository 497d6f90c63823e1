"""A real mongod on a free port with a data folder of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pymongo

from stack import Port, wait_until


class Mongod:
    def __init__(self, *options):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="tf-mongod-"))
        self.port = Port()
        self.address = f"127.0.0.1:{self.port.number}"
        self.client = None
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
        self.client = pymongo.MongoClient(self.address, serverSelectionTimeoutMS=500, tz_aware=True)
        wait_until(self._answers, "mongod answers", 30)

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            return self.client.admin.command("ping")
        except pymongo.errors.PyMongoError:
            return None

    def uri(self, database):
        return f"mongodb://{self.address}/{database}"

    def drop(self, uris):
        """Removes the databases of uri()."""
        for uri in uris:
            self.client.drop_database(uri.rpartition("/")[2])

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

"""A start with the SQLite file of an older release: it is copied, then its tables change."""

import re
import shutil
import sqlite3

import pytest

from client import Api, expect
from stack import ROOT, START_SECONDS, Stack

pytestmark = pytest.mark.stores("sqlite")

JOB = "3061da05-1092-4b23-92a6-c7aab787e134"
OURS = 0x54465343


def first_tables():
    """The first row of migrations.def, without comments."""
    text = (ROOT / "worker/store/sqlite/migrations.def").read_text()
    row = text.split("\nMIGRATION(", 2)[1]
    return "".join(re.findall(r'"([^"]*)"', re.sub(r"/\*.*?\*/", "", row, flags=re.S)))


def make_old(path):
    db = sqlite3.connect(path)
    db.executescript(first_tables() + f"""
        PRAGMA application_id = {OURS}; PRAGMA user_version = 1;
        INSERT INTO jobs (id, job_id, queue, state, priority, created_us, data_size)
            VALUES (7, '{JOB}', 'q', 'waiting', 0, 1, 17);
        INSERT INTO job_data VALUES (7, '{{"job_queue":"q"}}');""")
    db.close()


def version(path):
    db = sqlite3.connect(path)
    found = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


@pytest.fixture
def old():
    """A server that was not started yet, and its file of an older release."""
    stack = Stack(workers=3, webhooks=1)
    path = stack.folder / "data.db"
    make_old(path)
    yield stack, path
    if stack.process.poll() is None:
        stack.kill_all()
    stack.port.release()
    shutil.rmtree(stack.folder)


def claimed(stack):
    return expect(Api(stack.url).get("/v1/job?queue=q"), 200).json()["job_id"]


def test_upgrade_and_back(old):
    """All processes open the file at once; the copy of before is the file that a way back needs."""
    stack, path = old
    for _ in range(2):
        stack.start()
        assert claimed(stack) == JOB
        assert not stack.faults()
        copies = list(path.parent.glob("data.db.*"))
        assert len(copies) == 1 and re.fullmatch(r"data\.db\.20\d\d-\d\d-\d\d\.version-1", copies[0].name)
        assert version(path) > version(copies[0]) == 1
        shutil.copyfile(copies[0], path)
        assert version(path) == 1


def test_no_start_without_the_copy(old):
    stack, path = old
    (path.parent / "data.db.copying").mkdir()
    stack.launch()
    assert stack.process.wait(START_SECONDS) == 2
    assert "cannot copy" in stack.log() and "make room" in stack.log()
    assert version(path) == 1


def test_newer_file_is_refused(old):
    stack, path = old
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 1000")
    db.close()
    stack.launch()
    assert stack.process.wait(START_SECONDS) == 2
    assert "newer version" in stack.log()
    assert version(path) == 1000

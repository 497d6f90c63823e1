"""Direct access to a server's store, for what no call of the API can do."""

import datetime

import pymongo
import pytest


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class MongoStorage:
    def __init__(self, uri):
        self.client = pymongo.MongoClient(uri, tz_aware=True)
        self.db = self.client.get_default_database()

    def _set(self, job_id, **fields):
        names = {name.replace("__", "."): value for name, value in fields.items()}
        assert self.db.jobs.update_one({"job_id": job_id}, {"$set": names}).matched_count == 1

    def set_priority(self, job_id, priority):
        self._set(job_id, job_priority=priority)

    def set_age(self, job_id, seconds):
        self._set(job_id, created_at=now() - datetime.timedelta(seconds=seconds))

    def attachments_arrived(self, job_id):
        self._set(job_id, job_data__attachments_status="complete")

    def wait_times(self, queue):
        document = self.db.queue_wait_times.find_one({"name": queue})
        return document["wait_times"] if document else []

    def restrict(self, queue):
        self.db.restricted_queues.insert_one({"queue_name": queue})


class SqliteStorage:
    def __init__(self, uri):
        pytest.skip("direct access to the embedded store comes with its schema")


def storage_of(stack):
    kind = MongoStorage if stack.store.startswith("mongodb:") else SqliteStorage
    return kind(stack.store)

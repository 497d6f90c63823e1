"""Files in MongoDB are GridFS as other tools read and write it."""

import datetime
import os

import bson
import gridfs
import pytest

from client import expect, new_id

CHUNK = 261120
pytestmark = pytest.mark.stores("mongodb")


def put(api, path, content):
    return expect(api.post(path, files={"file": ("a", content)}), 200, "OK")


@pytest.mark.parametrize("size", [0, 5, CHUNK, 9 * CHUNK + 1])
def test_others_read_what_the_server_wrote(api, db, size):
    job, content = new_id(), os.urandom(size)
    put(api, f"/v1/result/{job}/artifact", content)
    assert gridfs.GridFS(db).get_last_version(f"{job}.artifact").read() == content


def test_documents(api, db, queue):
    job = api.submit(queue, test_data={"attachments": [{"agent": "a"}]})
    put(api, f"/v1/job/{job}/attachments", b"x" * (CHUNK + 1))
    file = db.fs.files.find_one({"filename": f"{job}.attachments"})
    age = datetime.datetime.now(datetime.timezone.utc) - file["uploadDate"]
    assert 0 <= age.total_seconds() < 60
    assert file == {"_id": file["_id"], "filename": f"{job}.attachments", "chunkSize": CHUNK,
                    "length": bson.Int64(CHUNK + 1), "uploadDate": file["uploadDate"]}
    assert isinstance(file["_id"], bson.ObjectId)
    raw = db.fs.files.with_options(
        bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)).find_one(file["_id"])
    assert b"\x12length\x00" in raw.raw and b"\x10chunkSize\x00" in raw.raw
    chunks = list(db.fs.chunks.find({"files_id": file["_id"]}).sort("n"))
    assert [(c["n"], len(c["data"])) for c in chunks] == [(0, CHUNK), (1, 1)]
    for chunk in chunks:
        assert set(chunk) == {"_id", "files_id", "n", "data", "uploadDate"}
        assert chunk["uploadDate"] == file["uploadDate"]
        assert isinstance(chunk["_id"], bson.ObjectId)
    assert db.jobs.find_one({"job_id": job})["job_data"]["attachments_status"] == "complete"
    note = db.file_drops.find_one(file["_id"])  # for a while, that it is committed
    assert set(note) == {"_id", "due_at", "done"} and note["done"] is True


@pytest.mark.parametrize("chunk", [1000, 255 * 1024, 256 * 1024, 1 << 20])
def test_the_server_reads_what_others_wrote(api, db, chunk):
    job, content = new_id(), os.urandom(300_000)
    store = gridfs.GridFS(db)
    store.put(b"older", filename=f"{job}.artifact")
    store.put(content, filename=f"{job}.artifact", chunk_size=chunk)
    path = f"/v1/result/{job}/artifact"
    assert expect(api.get(path), 200).content == content
    got = expect(api.get(path, headers={"Range": "bytes=99999-200001"}), 206)
    assert got.content == content[99999:200002]


def test_an_upload_takes_the_place_of_what_others_wrote(api, db):
    job, name = new_id(), "artifact"
    ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    store = gridfs.GridFS(db)
    file = store.put(b"older", filename=f"{job}.{name}")
    db.fs.files.update_one({"_id": file}, {"$set": {"uploadDate": ahead}})
    put(api, f"/v1/result/{job}/artifact", b"newer")
    assert expect(api.get(f"/v1/result/{job}/artifact"), 200).content == b"newer"
    assert db.fs.files.count_documents({"filename": f"{job}.{name}"}) == 1
    assert db.file_drops.find_one(file)["due_at"] < ahead


def test_indexes(db):
    assert "filename_1_uploadDate_1" in db.fs.files.index_information()
    assert db.fs.chunks.index_information()["files_id_1_n_1"]["unique"]

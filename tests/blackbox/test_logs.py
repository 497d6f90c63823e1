"""Logs by fragments, and the live output of older agents and clients seen together with them."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import bson
import pytest

from client import (BAD_ID, BAD_REQUEST, MISSING, NOT_FOUND, NULL, PHASES, UNKNOWN, WRONG_TYPE, Api,
                    expect, expect_none, invalid, message, new_id)
from storage import now

AT = "2025-01-02T03:04:05.678901+00:00"
PHASE = f"Must be one of: {', '.join(PHASES)}."
STRING, INTEGER, DATE = "Not a valid string.", "Not a valid integer.", "Not a valid datetime."
TYPES = ("output", "serial")
MIB = 1024 * 1024


@pytest.fixture
def job(api, queue):
    """The id of a job that an agent has taken."""
    api.submit(queue)
    return api.claimed(queue)


@pytest.fixture(params=TYPES)
def kind(request):
    return request.param


def body(number, text, phase="setup", at=AT):
    return {"fragment_number": number, "timestamp": at, "phase": phase, "log_data": text}


def path(job_id, kind="output"):
    return f"/v1/result/{job_id}/log/{kind}"


def post(api, job_id, number, text, phase="setup", at=AT, kind="output"):
    expect(api.post(f"/v1/result/{job_id}/log/{kind}", body(number, text, phase, at)), 200, "OK")


def log(api, job_id, kind="output", **query):
    return expect(api.get(f"/v1/result/{job_id}/log/{kind}", params=query), 200).json()[kind]


def of(**phases):
    """All phases as a read shows them; of those given, (last number, text)."""
    return {p: dict(zip(("last_fragment_number", "log_data"), phases.get(p, (-1, "")))) for p in PHASES}


def result(api, job_id):
    return expect(api.get(f"/v1/result/{job_id}"), 200).json()


# Posts

def test_post_and_get(api, job, kind):
    post(api, job, 0, "a\u00e9\n", kind=kind)
    post(api, job, 1, "\0b\"\\\x1b\t", kind=kind)
    post(api, job, 2, "t", "test", kind=kind)
    assert log(api, job, kind) == of(setup=(1, "a\u00e9\n\0b\"\\\x1b\t"), test=(2, "t"))
    other = TYPES[kind == "output"]
    assert log(api, job, other) == of()
    assert result(api, job) == {f"setup_{kind}": "a\u00e9\n\0b\"\\\x1b\t", f"test_{kind}": "t",
                                "job_state": "running"}


def test_unknown_job(api, kind):
    job_id = new_id()
    assert log(api, job_id, kind) == of()
    post(api, job_id, 0, "x", kind=kind)
    assert log(api, job_id, kind) == of(setup=(0, "x"))
    expect_none(api.get(f"/v1/result/{job_id}"))
    assert log(api, job_id.upper(), kind) == of()


@pytest.mark.alike
@pytest.mark.parametrize("change, errors", [
    ({"fragment_number": None}, {"fragment_number": [NULL]}),
    ({"fragment_number": "x"}, {"fragment_number": [INTEGER]}),
    ({"fragment_number": True}, {"fragment_number": [INTEGER]}),
    ({"fragment_number": 2 ** 63}, {"fragment_number": [INTEGER]}),
    ({"timestamp": "zz"}, {"timestamp": [DATE]}),
    ({"timestamp": 5}, {"timestamp": [DATE]}),
    ({"phase": "Setup"}, {"phase": [PHASE]}),
    ({"phase": ""}, {"phase": [PHASE]}),
    ({"log_data": 5}, {"log_data": [STRING]}),
    ({"log_data": None, "phase": "zz", "zz": 1}, {"phase": [PHASE], "log_data": [NULL], "zz": [UNKNOWN]}),
], ids=str)
def test_faults(api, job, change, errors):
    answer = api.post(path(job), {**body(0, "x"), **change})
    if change == {"fragment_number": 2 ** 63}:
        assert answer.status_code == 422
    else:
        expect(answer, 422, invalid(errors))
    assert log(api, job) == of()


def test_other_bodies(api, job, kind):
    missing = invalid({f: [MISSING] for f in body(0, "")})
    expect(api.post(path(job, kind), {}), 422, missing)
    expect(api.post_body(path(job, kind), b"{}", "text/plain"), 422, missing)
    expect(api.post_body(path(job, kind), b"null"), 422, WRONG_TYPE)
    expect(api.post_body(path(job, kind), b"[]"), 422, WRONG_TYPE)
    expect(api.post_body(path(job, kind), b"{"), 400, BAD_REQUEST)
    expect(api.post_body(path(job, kind), b'{"log_data": "\xff"}'), 400, BAD_REQUEST)


def test_order_of_checks(api, kind):
    """The body comes before the id."""
    expect(api.post(path("zz", kind), {}), 422)
    expect(api.post(path("zz", kind), body(0, "x")), 400, BAD_ID)
    expect(api.get(path("zz", kind), params={"phase": "zz"}), 400, message("Invalid job id\n"))


@pytest.mark.parametrize("last", ["bogus", "OUTPUT", "serial_output", "output/x"])
def test_other_types(api, job, last):
    for method in ("GET", "POST"):
        expect(api.request(method, path(job, last)), 404, NOT_FOUND)


def test_methods(api, job, kind):
    answer = expect(api.request("PUT", path(job, kind)), 405)
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "GET", "HEAD", "POST"}
    head = expect(api.head(path(job, kind)), 200)
    assert head.content == b"" and int(head.headers["Content-Length"]) > 100


def test_coercion(api, job):
    post(api, job, " 1 ", "a")
    post(api, job, 2.9, "b", at="2025-1-2 3:04")
    assert log(api, job) == of(setup=(2, "ab"))


def test_negative_numbers_are_never_read(api, job):
    post(api, job, -1, "no")
    post(api, job, 0, "yes")
    assert log(api, job) == of(setup=(0, "yes"))
    assert result(api, job)["setup_output"] == "yes"
    expect(api.get(f"/v1/result/{job}/output"), 200, "yes")


def test_number_of_64_bits(api, job):
    post(api, job, 2 ** 63 - 1, "x")
    assert log(api, job) == of(setup=(2 ** 63 - 1, "x"))
    assert log(api, job, start_fragment=2 ** 63 - 1) == of(setup=(2 ** 63 - 1, "x"))
    assert log(api, job, start_fragment=10 ** 30)["setup"]["log_data"] in ("", "x")


def test_order_and_empty_texts(api, job):
    for number, text in [(3, "d"), (0, "a"), (2, ""), (1, "b")]:
        post(api, job, number, text)
    post(api, job, 4, "", "test")
    assert log(api, job) == of(setup=(3, "abd"), test=(4, ""))
    assert result(api, job) == {"setup_output": "abd", "test_output": "", "job_state": "running"}


@pytest.mark.slow
def test_size_of_a_fragment(api, job):
    expect(api.post(path(job), body(0, "x" * (8 * MIB))), 200, "OK")
    answer = expect(api.post(path(job), body(1, "x" * (8 * MIB + 1))), 413)
    assert "several fragments" in answer.json()["message"]
    expect(api.post_body(path(job), b" " * (16 * MIB)), 413, message("Request Entity Too Large"))
    assert log(api, job)["setup"] == {"last_fragment_number": 0, "log_data": "x" * (8 * MIB)}


# Repeats

def test_a_repeat_is_stored_once(api, job, kind):
    for _ in range(3):
        post(api, job, 0, "a", kind=kind)
    post(api, job, 0, "a", kind=kind, at="2025-01-02T05:04:05.678+02:00")  # the same moment
    assert log(api, job, kind) == of(setup=(0, "a"))
    assert result(api, job)[f"setup_{kind}"] == "a"


def test_what_differs_is_no_repeat(api, job):
    post(api, job, 0, "a")
    post(api, job, 0, "b")
    post(api, job, 0, "a", at="2025-01-02T03:04:05.679Z")
    post(api, job, 0, "a", "test")
    post(api, job, 0, "a", kind="serial")
    post(api, job, 1, "a")
    assert log(api, job) == of(setup=(1, "abaa"), test=(0, "a"))
    assert log(api, job, "serial") == of(setup=(0, "a"))


def test_repeats_at_a_time(server, job):
    def send(i):
        post(Api(server.url), job, i % 4, f"{i % 4} ")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(48)))
    assert log(Api(server.url), job) == of(setup=(3, "0 1 2 3 "))


# Reads

@pytest.fixture
def filled(api, job):
    for i in range(6):
        post(api, job, i, f"{i}", PHASES[i // 3 * 3], f"2025-01-01T00:00:0{i}.500Z")
    return job


@pytest.mark.parametrize("query, phases", [
    ({"start_fragment": 0}, {"setup": (2, "012"), "test": (5, "345")}),
    ({"start_fragment": 2}, {"setup": (2, "2"), "test": (5, "345")}),
    ({"start_fragment": "004"}, {"test": (5, "45")}),
    ({"start_fragment": 6}, {}),
    ({"start_timestamp": "2025-01-01T00:00:04.5Z"}, {"test": (5, "45")}),
    ({"start_timestamp": "2025-01-01T00:00:04.501"}, {"test": (5, "5")}),
    ({"start_timestamp": "2025-01-01T01:00:04.500+01:00"}, {"test": (5, "45")}),
    ({"start_timestamp": "2025-01-01T00:00:01Z", "start_fragment": 3}, {"test": (5, "345")}),
    ({"start_fragment": ["2", "x"]}, {"setup": (2, "2"), "test": (5, "345")}),
], ids=str)
def test_filters(api, filled, query, phases):
    assert log(api, filled, **query) == of(**phases)
    for phase in ("setup", "test"):
        assert log(api, filled, phase=phase, **query) == {phase: of(**phases)[phase]}
    assert log(api, filled, phase="allocate", **query) == {"allocate": of()["allocate"]}


@pytest.mark.alike
@pytest.mark.parametrize("query, faults", [
    ("start_fragment=x", {"start_fragment": [INTEGER]}),
    ("start_fragment=", {"start_fragment": [INTEGER]}),
    ("start_fragment=1.0", {"start_fragment": [INTEGER]}),
    ("start_fragment=-1", {"start_fragment": ["Must be greater than or equal to 0."]}),
    ("start_timestamp=zz", {"start_timestamp": [DATE]}),
    ("start_timestamp=2025-01-01T01:00:04+01:00", {"start_timestamp": [DATE]}),
    ("phase=zz", {"phase": [PHASE]}),
    ("phase=", {"phase": [PHASE]}),
    ("foo=1", {"foo": [UNKNOWN]}),
    ("foo=1&phase=zz&start_fragment=x&start_timestamp=&bar",
     {"phase": [PHASE], "start_fragment": [INTEGER], "start_timestamp": [DATE], "foo": [UNKNOWN],
      "bar": [UNKNOWN]}),
])
def test_faults_of_a_read(api, job, query, faults):
    expect(api.get(f"{path(job)}?{query}"), 400, message(faults))


def test_a_poller_sees_everything_once(api, job):
    """As the command line of the newer era polls."""
    seen, start, number = "", 0, 0
    for phase in PHASES:
        for _ in range(3):
            post(api, job, number, f"{number},", phase)
            number += 1
        answer = log(api, job, start_fragment=start)
        seen += "".join(p["log_data"] for p in answer.values())
        start = max(p["last_fragment_number"] for p in answer.values()) + 1
    assert seen == "".join(f"{i}," for i in range(number))


@pytest.mark.parametrize("numbers, query, missing", [
    ([0, 1, 2], {}, None),
    ([0, 2, 3], {}, "1"),
    ([2, 5, 6, 9], {}, "0-1, 3-4, 7-8"),
    ([2, 5, 6, 9], {"start_fragment": 5}, "7-8"),
    ([2, 5], {"start_fragment": 6}, None),
    ([2, 5], {"start_fragment": 4}, "4"),
    ([2, 5], {"phase": "test"}, "0-1, 3-4"),
    (list(range(0, 60, 2)), {}, ", ".join(map(str, range(1, 33, 2))) + ", ..."),
], ids=str)
def test_gaps_are_told(api, job, numbers, query, missing):
    for number in numbers:
        post(api, job, number, "x", PHASES[number % 7])
    answer = expect(api.get(path(job), params=query), 200)
    assert answer.headers.get("Missing-Fragments") == missing


# Both eras

def add_output(api, job_id, text, kind="output"):
    last = {"output": "output", "serial": "serial_output"}[kind]
    expect(api.post_body(f"/v1/result/{job_id}/{last}", text, None), 200, "OK")


def test_older_client_newer_agent(api, job, kind):
    """Each fragment is live output once, for the first reader."""
    live = f"/v1/result/{job}/" + {"output": "output", "serial": "serial_output"}[kind]
    expect_none(api.get(live))
    post(api, job, 0, "a\n", kind=kind)
    post(api, job, 1, "b\n", "test", kind=kind)
    assert api.head(live).status_code == 200
    expect(api.get(live), 200, "a\n\nb\n")
    expect_none(api.get(live))
    assert api.head(live).status_code == 204
    post(api, job, 1, "b\n", "test", kind=kind)  # a repeat is nothing new
    expect_none(api.get(live))
    post(api, job, 3, "d", "test", kind=kind)
    expect(api.get(live), 200, "d")
    post(api, job, 2, "late", "test", kind=kind)
    expect(api.get(live), 200, "late")
    assert log(api, job, kind) == of(setup=(0, "a\n"), test=(3, "b\nlated"))


def test_newer_client_older_agent(api, job, kind):
    """Live output stands in the phase that the job was in; reading it takes nothing."""
    add_output(api, job, b"early\n", kind)
    api.set_state(job, "setup")
    time.sleep(0.01)
    add_output(api, job, b"s1\n", kind)
    add_output(api, job, b"s2\n", kind)
    time.sleep(0.01)
    api.set_state(job, "test")
    time.sleep(0.01)
    add_output(api, job, "t\u00e9\0".encode(), kind)
    expected = of(setup=(2, "early\ns1\ns2\n"), test=(3, "t\u00e9\0"))
    for _ in range(2):
        assert log(api, job, kind) == expected
    assert log(api, job, kind, start_fragment=2) == of(setup=(2, "s2\n"), test=(3, "t\u00e9\0"))
    assert log(api, job, kind, phase="test") == {"test": expected["test"]}
    assert log(api, job, kind, start_timestamp="2099-01-01T00:00:00Z") == of()
    api.set_state(job, "complete")
    assert log(api, job, kind) == expected
    assert result(api, job) == {"job_state": "complete"}
    last = {"output": "output", "serial": "serial_output"}[kind]
    expect(api.get(f"/v1/result/{job}/{last}"), 200, "early\n\ns1\n\ns2\n\nt\u00e9\0")
    assert log(api, job, kind) == of()


def test_output_of_no_job(api, kind):
    job_id = new_id()
    add_output(api, job_id, b"x", kind)
    assert log(api, job_id, kind) == of(setup=(0, "x"))


def test_agents_of_both_eras(api, job):
    add_output(api, job, b"old")
    post(api, job, 0, "new")
    assert log(api, job) == of(setup=(0, "oldnew"))
    expect(api.get(f"/v1/result/{job}/output"), 200, "old\nnew")


def test_fragments_win_over_flat_fields(api, job):
    flat = {"setup_status": 1, "setup_output": "flat", "setup_serial": "flat", "test_output": "flat",
            "device_info": {"a": 1}, "x": [1]}
    expect(api.post(f"/v1/result/{job}", flat), 200, "OK")
    post(api, job, 0, "fragment")
    post(api, job, 1, "fragment", "test", kind="serial")
    expect(api.post(f"/v1/result/{job}", {"status": {"setup": 2}, "job_state": "test"}), 200, "OK")
    assert result(api, job) == {**flat, "setup_status": 2, "setup_output": "fragment",
                                "test_serial": "fragment", "job_state": "test"}


def test_readers_of_live_output_at_a_time(server, api, job):
    """Each fragment is read by one of the readers."""
    found, done = [], threading.Event()

    def read(_):
        one = Api(server.url)
        while not done.is_set():
            answer = one.get(f"/v1/result/{job}/output")
            if answer.status_code == 200:
                found.extend(answer.text.split("\n"))

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, i) for i in range(3)]
        for i in range(60):
            post(api, job, i, str(i))
        end = time.monotonic() + 10
        while len(found) < 60 and time.monotonic() < end:
            time.sleep(0.05)
        done.set()
        [r.result() for r in readers]
    assert sorted(found, key=int) == [str(i) for i in range(60)]


# Large logs

@pytest.mark.slow
def test_long_logs(api, job):
    """What one answer cannot hold comes with the next ones; the result says where to go on."""
    texts = [chr(97 + i) * (3 * MIB) for i in range(7)]
    for i, text in enumerate(texts):
        post(api, job, i, text, PHASES[i // 3])
    seen, start, pages = "", 0, 0
    while True:
        answer = expect(api.get(path(job), params={"start_fragment": start}), 200)
        phases = answer.json()["output"].values()
        seen += "".join(p["log_data"] for p in phases)
        start = max(p["last_fragment_number"] for p in phases) + 1
        pages += 1
        if "Next-Fragment" not in answer.headers:
            break
        assert int(answer.headers["Next-Fragment"]) == start
    assert pages == 2 and seen == "".join(texts)
    shown = result(api, job)
    assert shown["truncated"] == {"output": 6}
    assert shown["setup_output"] == "".join(texts[:3])
    assert f"/v1/result/{job}/log/output?start_fragment=6" in shown["provision_output"]
    assert "firmware_update_output" not in shown and shown["job_state"] == "running"
    post(api, job, 0, "serial", kind="serial")
    assert result(api, job)["setup_serial"] == "serial"
    taken = ""
    while (answer := api.get(f"/v1/result/{job}/output")).status_code == 200:
        taken += answer.text
    assert taken.replace("\n", "") == "".join(texts)


@pytest.mark.slow
def test_control_characters_fill_an_answer_soon(api, job):
    text = "\x01" * (1700 * 1024)  # six bytes each in JSON
    for i in range(2):
        post(api, job, i, text)
    flat = "x" * (10 * MIB)
    expect(api.post(f"/v1/result/{job}", {"test_output": flat}), 200)
    answer = expect(api.get(path(job)), 200)
    assert answer.json()["output"]["setup"] == {"last_fragment_number": 0, "log_data": text}
    assert answer.headers["Next-Fragment"] == "1"
    shown = result(api, job)
    assert shown["setup_output"].startswith(text) and shown["truncated"]["output"] == 1
    assert "bytes are left out here" in shown["test_output"]
    assert 0 < shown["truncated"]["test_output"] < len(flat)


# The database

@pytest.mark.stores("mongodb")
def test_documents(api, db, job, kind):
    post(api, job, 7, "x\0", "provision", kind=kind)
    (document,) = db.logs.find({"job_id": job})
    assert document["log_type"] == kind and document["phase"] == "provision"
    assert document["fragment_number"] == 7 and document["log_data"] == "x\0"
    assert document["timestamp"].isoformat() == "2025-01-02T03:04:05.678000+00:00"
    assert abs(document["updated_at"].timestamp() - time.time()) < 60


def tag_of_result(api, job_id, times=4):
    """The ETag of a result, the same in several reads in a row."""
    tags = {api.get(f"/v1/result/{job_id}").headers["ETag"] for _ in range(times)}
    assert len(tags) == 1
    return tags.pop()


def test_each_fragment_of_a_large_log_changes_the_tag(api, job):
    """Workers remember how many fragments a large log has."""
    for number in range(80):
        post(api, job, number * 2, f"{number}\n")
    tags = [tag_of_result(api, job)]
    late = [(3, "setup", "output"), (160, "setup", "output"), (3, "test", "output"), (0, "setup", "serial"),
            (5, "setup", "output")]
    for number, phase, kind in late:
        post(api, job, number, f"late {phase} {number}\n", phase, kind=kind)
        tags.append(tag_of_result(api, job))
        assert f"late {phase} {number}\n" in result(api, job)[f"{phase}_{kind}"]
    post(api, job, 5, "late setup 5\n")  # a repeat
    assert tag_of_result(api, job) == tags[-1]
    assert len(set(tags)) == len(tags)


@pytest.mark.stores("mongodb")
def test_documents_of_another_server_in_a_large_log(api, db, job):
    for number in range(80):
        post(api, job, number, f"{number}\n")
    tag = tag_of_result(api, job)
    db.logs.insert_one({"job_id": job, "log_type": "output", "phase": "setup", "fragment_number": 7,
                        "timestamp": now(), "log_data": "theirs\n", "updated_at": now()})
    for _ in range(8):  # whichever worker answers
        answer = api.get(f"/v1/result/{job}", headers={"If-None-Match": tag})
        assert "theirs\n" in expect(answer, 200).json()["setup_output"]


@pytest.mark.stores("mongodb")
def test_documents_of_another_server(api, db, job):
    """Also what no server should have made of it."""
    common = {"job_id": job, "log_type": "output", "timestamp": None, "updated_at": None}
    db.logs.insert_many([
        {**common, "phase": "test", "fragment_number": 1.0, "log_data": "b"},
        {**common, "phase": "setup", "fragment_number": 0, "log_data": "a"},
        {**common, "phase": "setup", "fragment_number": 0, "log_data": "a"},
        {**common, "phase": "zz", "fragment_number": 2, "log_data": "?"},
        {**common, "phase": "test", "fragment_number": 3}])
    assert log(api, job) == of(setup=(0, "aa"), test=(3, "b"))
    assert result(api, job) == {"setup_output": "aa", "test_output": "b", "job_state": "running"}


@pytest.mark.stores("mongodb")
def test_plans(api, db, job):
    """Reads go by the index in order, of all phases at once too."""
    post(api, job, 0, "x")
    query = {"job_id": job, "log_type": "output", "phase": {"$in": list(PHASES)},
             "fragment_number": {"$gte": 0}}
    plan = json.dumps(db.logs.find(query).sort("fragment_number", 1).hint(
        "job_id_1_log_type_1_phase_1_fragment_number_1").explain()["queryPlanner"]["winningPlan"])
    assert "SORT_MERGE" in plan and '"SORT"' not in plan
    unread = {"job_id": job, "log_type": "output", "unread": {"$in": [True, bson.ObjectId()]}}
    plan = json.dumps(db.logs.find(unread).sort({"unread": 1, "fragment_number": 1}).explain()[
        "queryPlanner"]["winningPlan"])
    assert "testflinger_reader" in plan and '"SORT"' not in plan

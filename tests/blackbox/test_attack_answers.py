"""Answers that would not fit into a message of the bus: none stops a worker, none is cut."""

import json
import threading

import pytest

from client import Api, expect, message
from storage import storage_of

MIB = 1024 * 1024
TOO_LONG = message("The answer is larger than the server can send")


def test_a_large_job_of_non_ascii_is_served_beside_others(server, api, queue):
    """14 MB of UTF-8; as \\u escapes it would have three times as much."""
    text = "é" * 7_000_000
    body = json.dumps({"job_queue": queue, "name": text}, ensure_ascii=False).encode()
    job_id = expect(api.post_body("/v1/job", body), 200).json()["job_id"]
    answers, small = [], []

    def read():
        answers.append(Api(server.url).get(f"/v1/job/{job_id}", timeout=60))

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    while any(reader.is_alive() for reader in readers):
        small.append(expect(api.get(f"/v1/result/{job_id}"), 200).json())
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(answer.json()["name"] == text for answer in answers)
    assert small
    second = api.submit(queue)
    assert expect(api.claim(queue), 200).json()["name"] == text
    assert api.claimed(queue) == second
    assert "is dead" not in server.tail()


@pytest.mark.parametrize("value", ["é" * (8 * MIB - 1000), "\u0001" * (16 * MIB // 6 - 1000)])
def test_a_job_that_leaves_no_room_for_its_result_is_refused(api, queue, value):
    body = json.dumps({"job_queue": queue, "name": value}, ensure_ascii=False).encode()
    assert len(body) < 16 * MIB
    response = expect(api.post_body("/v1/job", body), 413)
    assert "bytes" in response.json()["message"]
    assert expect(api.claim(queue), 204)


@pytest.mark.parametrize("value", ["[%s]" % ",".join("1" * 4_000_000), "[%s0]" % ("0.1," * 1_500_000)])
def test_numbers_that_grow_count_as_they_are_stored_and_read(api, queue, value):
    """A body of 6 to 8 MB that takes 24 MB and more in an answer, or in MongoDB."""
    body = f'{{"job_queue": "{queue}", "allocate_data": {{"n": {value}}}}}'
    expect(api.post_body("/v1/job", body), 413)


@pytest.mark.parametrize("several", [False, True])
def test_a_stored_job_that_no_answer_can_hold_is_passed_over(private, queue, several):
    """As an older release may have left it."""
    server = private(workers=1)
    api, storage = Api(server.url), storage_of(server)
    large, small = api.submit(queue), [api.submit(queue) for _ in range(3)]
    storage.enlarge(large, "\u0001", 4 * MIB)
    expect(api.get(f"/v1/job/{large}"), 500, TOO_LONG)
    assert large in server.tail() and "OP_JOB_GET" in server.tail()
    claimed = []
    if several:
        threads = [threading.Thread(target=lambda: claimed.append(Api(server.url).claimed(queue)))
                   for _ in small]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        claimed = [api.claimed(queue) for _ in small]
    assert sorted(claimed) == sorted(small)
    result = api.get(f"/v1/result/{large}").json()
    assert result["job_state"] == "cancelled" and "larger than" in result["end_reason"]
    assert f"job {large} is cancelled" in server.tail()


@pytest.mark.stores("mongodb")
@pytest.mark.parametrize("several", [False, True])
def test_a_stored_job_without_room_for_a_claim_is_passed_over(api, storage, queue, several):
    """The document has 16 MiB but a few bytes: not even a state can be changed in it."""
    large, small = api.submit(queue), [api.submit(queue) for _ in range(3)]
    storage.fill(large, 16 * MIB - 4)
    claimed = []
    if several:
        threads = [threading.Thread(target=lambda: claimed.append(Api(api.url).claimed(queue)))
                   for _ in small]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        claimed = [api.claimed(queue) for _ in small]
    assert sorted(claimed) == sorted(small)
    result = api.get(f"/v1/result/{large}").json()
    assert result["job_state"] == "cancelled" and "larger than" in result["end_reason"]

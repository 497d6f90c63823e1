"""JSON bodies: what counts as one, what is refused, what survives the way through the store."""

import json

import pytest

from client import BAD_REQUEST, MISSING, WRONG_TYPE, expect, invalid

NO_QUEUE = invalid({"job_queue": [MISSING]})
VALID = b'{"job_queue": "bodies"}'


def nested(levels):
    """A job's body of that many levels of objects."""
    inner = levels - 2
    return '{"job_queue": "bodies", "allocate_data": %s{}%s}' % ('{"a":' * inner, "}" * inner)


@pytest.mark.alike
@pytest.mark.parametrize("content_type, body", [
    (None, VALID), ("text/plain", VALID), ("application/x-www-form-urlencoded", VALID),
    ("multipart/form-data; boundary=x", VALID), ("application/jsonx", VALID),
    ("text/json", VALID), ("application/json", b""), (None, b""), ("text/plain", b"{"),
    ("application/json", b"{}"),
])
def test_bodies_that_count_as_empty(api, content_type, body):
    expect(api.post_body("/v1/job", body, content_type), 422, NO_QUEUE)


@pytest.mark.alike
@pytest.mark.parametrize("content_type", [
    "application/json", "APPLICATION/JSON", "application/json; charset=utf-8",
    "application/json;charset=latin-1", "application/vnd.api+json", "application/x+json; a=b",
])
def test_types_that_are_json(api, content_type):
    expect(api.post_body("/v1/job", VALID, content_type), 200)


def test_content_encoding_is_ignored(api):
    expect(api.post_body("/v1/job", VALID, **{"Content-Encoding": "gzip"}), 200)


@pytest.mark.alike
@pytest.mark.parametrize("body", [b"null", b"[]", b'["job_queue"]', b'"x"', b"1", b"1.5", b"true",
                                  b"  null\n"])
def test_not_an_object(api, body):
    expect(api.post_body("/v1/job", body), 422, WRONG_TYPE)


@pytest.mark.alike
@pytest.mark.parametrize("body", [
    b'{"job_queue": "q",', b'{"job_queue": "q"', b"{'job_queue': 'q'}", b'{"job_queue": "q",}',
    b"{job_queue: 1}", b"hello", b"[1,", b'"open', b"   ", b"\x00", b"tru", b"+1", b"01",
    VALID + b"x", VALID + b"{}", VALID + b"\x00", b"[1] [2]",
    b'{"job_queue": "\xff"}', b'{"job_queue": "\xc3\x28"}', b'{"job_queue": "\xed\xa0\x80"}',
    b'{"job_queue": "\xf4\x90\x80\x80"}', b'{"job_queue": "\xc0\x80"}', b"\xff\xfe",
    b"\xef\xbb\xbf" + VALID, VALID.decode().encode("utf-16"),
    b'{"job_queue": "\\ud800"}', b'{"job_queue": "q", "name": "\\udc00x"}',
    b'{"job_queue": "\\ud800\\u0041"}', b'{"job_queue": "\\x41"}', b'{"job_queue": "a\nb"}',
    b'{"job_queue": "q", "global_timeout": NaN}', b'{"job_queue": "q", "global_timeout": Infinity}',
    b'{"job_queue": "q", "allocate_data": {"n": -Infinity}}', b'{"job_queue": "q", "x": NaN}',
    b'{"job_queue": "q" /* note */}',
])
def test_malformed(api, body):
    expect(api.post_body("/v1/job", body), 400, BAD_REQUEST)


def test_the_last_of_equal_keys_counts(api, queue):
    body = f'{{"job_queue": 5, "name": "a", "job_queue": "{queue}", "name": "b"}}'
    job_id = expect(api.post_body("/v1/job", body), 200).json()["job_id"]
    assert api.get(f"/v1/job/{job_id}").json()["name"] == "b"
    assert api.claimed(queue) == job_id


@pytest.mark.alike
@pytest.mark.parametrize("levels, status", [(3, 200), (64, 200), (66, 422), (2000, 422),
                                            (200000, 422)])
def test_nesting_of_objects(api, levels, status):
    expect(api.post_body("/v1/job", nested(levels)), status)


def test_nesting_of_arrays(api):
    expect(api.post_body("/v1/job", "[" * 100000 + "]" * 100000), 422)
    expect(api.post_body("/v1/job", '{"job_queue": "a", "name": "' + "[{" * 1000 + '"}'), 200)


@pytest.mark.alike
@pytest.mark.parametrize("number, status", [
    ("9223372036854775807", 200), ("-9223372036854775808", 200), ("9223372036854775808", 422),
    ("-9223372036854775809", 422), ("1180591620717411303424", 422), ("1" * 400, 422),
])
def test_integers_of_64_bits(api, number, status):
    typed = api.post_body("/v1/job", f'{{"job_queue": "b", "global_timeout": {number}}}')
    free = api.post_body("/v1/job", f'{{"job_queue": "b", "allocate_data": {{"n": [{number}]}}}}')
    expect(typed, status, None if status == 200 else
           invalid({"global_timeout": ["Not a valid integer."]}))
    expect(free, status)
    if status == 200:
        job = api.get(f"/v1/job/{typed.json()['job_id']}").json()
        assert job["global_timeout"] == int(number)
        job = api.get(f"/v1/job/{free.json()['job_id']}").json()
        assert job["allocate_data"] == {"n": [int(number)]}
    else:
        assert "Not a valid integer." in free.text


def test_a_number_too_large_for_a_real(api):
    response = api.post_body("/v1/job", '{"job_queue": "b", "global_timeout": 1e400}')
    expect(response, 422, invalid({"global_timeout": ["Number too large."]}))
    free = api.post_body("/v1/job", '{"job_queue": "b", "allocate_data": {"n": 1e400}}')
    assert free.status_code in (400, 422)


def test_nul_in_a_name(api):
    body = '{"job_queue": "b", "allocate_data": {"a\\u0000b": 1}}'
    expect(api.post_body("/v1/job", body), 422)
    expect(api.post_body("/v1/job", '{"job_queue": "b", "a\\u0000b": 1}'), 422)


FREE = {
    "nul": "a\u0000b\u0000", "text": "caf\u00e9 \U0001f600 \u2028 \ufffd \"\\/\b\f\n\r\t\u007f",
    "": "empty name", "a.b": 1, "$set": {"$inc": {"x": 1}}, "$date": "2026-01-01T00:00:00Z",
    "date": {"$date": "2026-01-01T00:00:00Z"}, "oid": {"$oid": "0" * 24},
    "long": {"$numberLong": "5"}, "$": 0, "a.$.b": [], "nulls": [None, True, False],
    "numbers": [0, -1, 2**31, -(2**31) - 1, 2**53 + 1, 1.5, -0.25, 1e300, 5e-324, 0.1],
    "real": 1.0, "empty": [{}, [], ""], "name" * 200: "n" * 100000, "ключ": "значение",
    "__proto__": {"_id": 1, "_schema": 2}, "0": {"1": [[[1]]]},
}


def test_free_content_survives(api, queue):
    """From the body through the store into both answers, to the last bit."""
    job_id = api.submit(queue, allocate_data=FREE, name=FREE["nul"])
    for job in [api.get(f"/v1/job/{job_id}").json(), api.claim(queue).json()]:
        assert json.dumps(job["allocate_data"], sort_keys=True) == json.dumps(FREE, sort_keys=True)
        assert job["name"] == FREE["nul"]


def test_escaped_and_plain_utf8_are_the_same(api, queue):
    for ascii_only in (True, False):
        body = json.dumps({"job_queue": queue, "name": FREE["text"]}, ensure_ascii=ascii_only)
        job_id = expect(api.post_body("/v1/job", body.encode()), 200).json()["job_id"]
        assert api.get(f"/v1/job/{job_id}").json()["name"] == FREE["text"]


@pytest.mark.parametrize("path", ["/v1/job/{id}/action", "/v1/result/{id}", "/v1/agents/data/b"])
def test_every_body_is_read_by_the_same_rules(api, path):
    path = path.format(id=api.submit("bodies"))
    expect(api.post_body(path, b"{"), 400, BAD_REQUEST)
    expect(api.post_body(path, b"\xef\xbb\xbf{}"), 400, BAD_REQUEST)
    expect(api.post_body(path, b'{"x": "\xff"}'), 400, BAD_REQUEST)
    expect(api.post_body(path, b"[]"), 422, WRONG_TYPE)
    expect(api.post_body(path, b"null"), 422, WRONG_TYPE)
    expect(api.post_body(path, "[" * 5000 + "]" * 5000), 422)
    empty = api.post_body(path, b"{}")
    for content_type, body in [(None, b'{"x": 1}'), ("text/plain", b"{"), ("application/json", b"")]:
        response = api.post_body(path, body, content_type)
        assert (response.status_code, response.content) == (empty.status_code, empty.content)

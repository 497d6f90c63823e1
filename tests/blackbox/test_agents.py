"""POST /v1/agents/data/<name>."""

import pytest

from client import NULL, UNKNOWN, expect, invalid

STRING, LIST = "Not a valid string.", "Not a valid list."
STRINGS = ["identifier", "job_id", "location", "provision_type", "state", "comment"]


def post(api, name, body, **options):
    return api.post(f"/v1/agents/data/{name}", body, **options)


def cookie(value):
    return f"agent_name={value}; HttpOnly; Path=/; SameSite=Strict"


@pytest.mark.parametrize("body", [{}, {"state": "waiting", "queues": ["a"]}, {"comment": ""},
                                  {name: "" for name in STRINGS} | {"queues": [], "log": []}])
def test_answer(api, body):
    """Text without an Authorization header, JSON with one; the cookie always."""
    response = expect(post(api, "rpi4-001", body), 200, "OK")
    assert response.headers["Set-Cookie"] == cookie("rpi4-001")
    for header in ["Bearer x", "x", "Basic eDp5"]:
        response = post(api, "rpi4-001", body, headers={"Authorization": header})
        expect(response, 200, {"status": "OK"})
        assert response.headers["Set-Cookie"] == cookie("rpi4-001")


@pytest.mark.parametrize("name, value", [
    ("a%20b", '"a b"'), ("caf%C3%A9", '"caf\\303\\251"'), ("a.b~c!", "a.b~c!"),
    ("a%3Bb", '"a\\073b"'), ("a%2Cb", '"a\\054b"'),
])
def test_cookie_of_other_names(api, name, value):
    assert expect(post(api, name, {}), 200).headers["Set-Cookie"] == cookie(value)


def test_a_name_cannot_add_a_header(api):
    response = expect(post(api, "a%0D%0AX-Evil:%20yes", {}), 422)
    assert "X-Evil" not in response.headers


@pytest.mark.parametrize("body, errors", [
    ({"name": "x"}, {"name": [UNKNOWN]}),
    ({"updated_at": "x", "_id": 1}, {"updated_at": [UNKNOWN], "_id": [UNKNOWN]}),
    *[({name: 5}, {name: [STRING]}) for name in STRINGS],
    *[({name: None}, {name: [NULL]}) for name in [*STRINGS, "queues", "log"]],
    ({"log": [1], "queues": "x"}, {"log": {"0": [STRING]}, "queues": [LIST]}),
    ({"log": "x", "queues": ["a", None]}, {"log": [LIST], "queues": {"1": [NULL]}}),
    ({"state": {}, "x": 1}, {"state": [STRING], "x": [UNKNOWN]}),
], ids=str)
def test_faults(api, strict, body, errors):
    for one in (api, strict):
        response = expect(post(one, "faulty", body), 422, invalid(errors))
        assert "Set-Cookie" not in response.headers


def test_methods_of_later_work_are_not_taken_for_posts(api):
    assert api.request("DELETE", "/v1/agents/data/x").status_code == 405

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


@pytest.mark.alike
@pytest.mark.parametrize("body, errors", [
    ({"name": "x"}, {"name": [UNKNOWN]}),
    ({"updated_at": "x", "_id": 1}, {"updated_at": [UNKNOWN], "_id": [UNKNOWN]}),
    *[({name: 5}, {name: [STRING]}) for name in STRINGS],
    *[({name: None}, {name: [NULL]}) for name in [*STRINGS, "queues", "log"]],
    ({"log": [1], "queues": "x"}, {"log": {"0": [STRING]}, "queues": [LIST]}),
    ({"log": "x", "queues": ["a", None]}, {"log": [LIST], "queues": {"1": [NULL]}}),
], ids=str)
def test_faults(api, strict, body, errors):
    for one in (api, strict):
        response = expect(post(one, "faulty", body), 422, invalid(errors))
        assert "Set-Cookie" not in response.headers


SERVER_MADE = ["restricted_to", "submitted_by", "requests", "provision_streak_type", "silent"]


@pytest.mark.alike
@pytest.mark.parametrize("body, errors", [
    *[({name: "x"}, {name: [UNKNOWN]}) for name in [*SERVER_MADE, "$x", "a.b", "", "x" * 257]],
    ({"links": {"a": 1}}, {"links": {"a": {"value": [STRING]}}}),
    ({"links": "x"}, {"links": ["Not a valid mapping type."]}),
    ({"links": {str(n): "" for n in range(101)}}, {"links": ["Longer than maximum length 100."]}),
    ({"x": "x" * 16384}, {"_schema": ["Unknown fields have more than 16 KiB."]}),
], ids=lambda value: str(value)[:40])
def test_faults_of_unknown_fields(api, body, errors):
    """What the server itself makes, and names that MongoDB does not take everywhere."""
    expect(post(api, "faulty", body), 422, invalid(errors))


def test_unknown_fields(api, strict, queue):
    """Kept as they are, until the agent has too many; then only known ones change."""
    new = {"links": {"ssh": "ssh://10.0.0.7", "": "\0"}, "firmware": {"a": [1, None, "é"]}, "x": 1}
    expect(post(api, queue, {"state": "waiting", **new}), 200, "OK")
    expect(post(api, queue, {"x": {"$y.z": 2}}), 200, "OK")
    agent = expect(api.get(f"/v1/agents/data/{queue}"), 200).json()
    assert new | {"state": "waiting", "x": {"$y.z": 2}} == {name: agent[name] for name in [*new, "state"]}
    for name in new:
        expect(post(strict, queue, {name: new[name]}), 422, invalid({name: [UNKNOWN]}))
    for n in range(100):
        expect(post(api, queue, {"comment": str(n), f"new{n}": "x" * 16000}), 200, "OK")
    agent = expect(api.get(f"/v1/agents/data/{queue}"), 200).json()
    assert agent["comment"] == "99" and 40 < len(agent) - ("silent" in agent) < 70 and "new0" in agent
    expect(post(api, queue, {"x": 3}), 200, "OK")
    assert api.get(f"/v1/agents/data/{queue}").json()["x"] == 3


def test_methods_of_later_work_are_not_taken_for_posts(api):
    assert api.request("DELETE", "/v1/agents/data/x").status_code == 405

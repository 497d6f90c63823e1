"""/jobs/new: jobs that are written in a browser."""

import json
from urllib.parse import urlencode

import pytest
import yaml

import auth
from client import MISSING, Api, expect, new_id
from test_web_signin import KEY, Visitor, client_of
from web import HOSTILE, HTML, JSON, Page, model, page, shown, text_of

FORM = "application/x-www-form-urlencoded"


def send(api, accept=HTML, **fields):
    return api.post_body("/jobs/new", urlencode({k: v for k, v in fields.items() if v is not None}), FORM, **accept)


def faults(api, text, status=422, **fields):
    """(LINE, PATH, TEXT) of each fault of a definition."""
    answer = expect(send(api, JSON, definition=text, **fields), status).json()
    assert answer["text"] == text
    return [(f["line"], f["path"], f["text"]) for f in answer["faults"]]


def job_of(answer):
    address = expect(answer, 303).headers["Location"]
    start, _, rest = address.partition("/jobs/")
    assert start == "" and rest.endswith("?done=submitted")
    return rest.removesuffix("?done=submitted")


def field(found, name):
    """The value of a field of the form."""
    element, = [e for tag in ("input", "textarea") for e in found.all(tag) if e.get("name") == name]
    return element.get("value") if element.tag == "input" else "".join(element.itertext())


def test_a_job_is_submitted(api, queue):
    job = job_of(send(api, definition=f"job_queue: {queue}\r\n{yaml.safe_dump({'name': HOSTILE}, width=999)}tags: [a, b]\r\ntest_data:\r\n"
                      "  test_cmds: |\r\n    echo 1\r\n    echo 2\r\nglobal_timeout: 0x10\r\ndebug: yes\r\n"))
    got = expect(api.get(f"/v1/job/{job}"), 200).json()
    assert {k: got[k] for k in ("job_queue", "name", "tags", "test_data", "global_timeout")} == {
        "job_queue": queue, "name": HOSTILE, "tags": ["a", "b"], "test_data": {"test_cmds": "echo 1\necho 2\n"},
        "global_timeout": 16}
    assert "The job is submitted." in text_of(page(api, f"/jobs/{job}?done=submitted").one("main"))
    assert api.claimed(queue) == job


def test_json(api, queue):
    data = {"job_queue": queue, "name": "🐧", "test_data": {"test_cmds": "a\n\tb"}}
    job = job_of(send(api, definition=json.dumps(data, indent="\t")))
    assert expect(api.get(f"/v1/job/{job}"), 200).json()["test_data"] == data["test_data"]


def test_a_double_click_makes_one_job(api, queue):
    key = field(page(api, "/jobs/new"), "key")
    assert key != field(page(api, "/jobs/new"), "key")
    text = f"job_queue: {queue}\n"
    assert job_of(send(api, definition=text, key=key)) == job_of(send(api, definition=text, key=key))
    assert len(api.get(f"/v1/queues/{queue}/jobs").json()) == 1
    found = expect(send(api, definition=text + "name: other", key=key), 422)
    assert "another body" in found.text
    job_of(send(api, definition=text + "name: other", key=field(Page(found), "key")))
    assert "1 to 255" in expect(send(api, definition=text, key="k" * 256), 400).text


def test_a_check_changes_nothing(api, queue):
    text = f"job_queue: {queue}\n"
    key = new_id()
    found = Page(expect(send(api, definition=text, check="1", key=key), 200))
    assert "may be submitted as it is" in text_of(found.one("main")) and field(found, "definition") == text
    assert faults(api, "job_queue: ''", check="1") == [(1, "job_queue", "Shorter than minimum length 1.")]
    assert api.get(f"/v1/queues/{queue}/jobs").status_code == 204
    job_of(send(api, definition=text, key=key))


@pytest.mark.stores("sqlite")
def test_faults_stand_at_their_lines(api, queue):
    text = (f"job_queue: {queue}\n\ntest_data:\n  attachments:\n    - local: a\n      agent: b\n    - local: <b>\n"
            "tags:\n  - a\n  - 7\nnope: 1\n")
    found = faults(api, text)
    assert (7, "test_data.attachments.1.agent", MISSING) in found
    assert (10, "tags.1", "Not a valid string.") in found
    shown_page = Page(expect(send(api, definition=text), 422))
    lines = [text_of(li) for li in shown_page.all("li")]
    assert f"line 7: test_data.attachments.1.agent: {MISSING} - local: <b>" in lines
    area, = shown_page.all("textarea")
    assert (area.get("aria-invalid"), area.get("aria-describedby")) == ("true", "faults")
    assert faults(api, "{}") == [(1, "job_queue", MISSING)]
    assert faults(api, "a: 1\nb: [1,\n") == [(3, None, "did not find expected node content (while parsing a flow node)")]
    assert faults(api, f"job_queue: {queue}\njob_queue: {queue}\n") == [(2, None, "the name 'job_queue' stands twice")]
    for nothing in ("", "# x", "[]", "text", "12"):
        (line, path, says), = faults(api, nothing)
        assert line is path is None and says.startswith("A job consists of names")
    assert faults(api, "x" * (2**20 + 1)) == [(None, None, "a text has at most 1048576 bytes")]
    assert len(faults(api, f"job_queue: {queue}\ntags: [{'1, ' * 500}]\n")) == 50
    # the server's own checks
    assert faults(api, f"job_queue: {queue}\njob_id: nope\n", 400) == [(None, None, "Invalid job_id specified")]
    assert faults(api, f"job_queue: {queue}\ntest_data: {{secrets: {{a: b}}}}") == [(None, None, "No secrets store")]


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("text", [
    HOSTILE.replace("\0", ""), "a: " + HOSTILE.replace("\0", ""), "\n\n\na: [", "</textarea><script>x</script>: [",
    "{{#faults}}: &a", "a" * 100000 + ": [", "é🐧: @",
])
def test_hostile_texts_come_back_as_text(api, text):
    found = Page(expect(send(api, definition=text), 422))
    assert text_of(found.one("main")) and field(found, "definition").split() == shown(text).split()


def test_permissions(roles_server, queue):
    """Those of POST /v1/job without a token."""
    api = Api(roles_server.url)
    text = f"job_queue: {queue}\n"
    for more in ("job_priority: 100", "reserve_data: {timeout: 100000}"):
        answer = api.post("/v1/job", yaml.safe_load(text + more))
        for check in ("1", None):
            (line, path, says), = faults(api, text + more, answer.status_code, check=check)
            assert line is path is None and says == answer.json()["message"]
        assert answer.status_code == 401
    auth.Admin(roles_server).create(f"owner-{queue}", "its-own-secret-key", "contributor", "--allow", queue)
    answer = api.post("/v1/job", {"job_queue": queue})
    assert faults(api, text, answer.status_code) == [(None, None, answer.json()["message"])]


def test_who_has_signed_in_submits(login_server, queue):
    name = f"owner-{queue}"
    auth.Admin(login_server).create(name, KEY, "contributor", "--allow", queue)
    owner, other = Visitor(login_server.url, name), Visitor(login_server.url, client_of(login_server))
    text = f"job_queue: {queue}\n"
    answer = expect(send(other, definition=text, csrf=other.csrf), 403)
    assert "Not enough permissions to push to the restricted queue" in answer.text
    assert "not of your session" in expect(send(owner, definition=text), 403).text
    job = job_of(send(owner, definition=text, csrf=owner.csrf))
    assert model(owner, f"/jobs/{job}")["job"]["submitted_by"] == name
    expect(send(Api(login_server.url), definition=text), 401)


# ---- a form that is filled in ----

def test_a_job_once_more(api, queue):
    data = {"job_queue": queue, "name": HOSTILE, "provision_data": {"distro": "noble"}, "tags": ["yes", "0x1"],
            "test_data": {"test_cmds": "\n\n a\n  b\n"}}
    job = expect(api.post("/v1/job", data), 200).json()["job_id"]
    text = model(api, f"/jobs/new?from={job}")["text"]
    assert yaml.safe_load(text) == data
    found = page(api, f"/jobs/new?from={job}")
    again = expect(api.get(f"/v1/job/{job_of(send(api, definition=text, key=field(found, 'key')))}"), 200).json()
    assert {k: again[k] for k in data} == data and again["job_id"] != job
    for unknown in (new_id(), "nope", "<b>", "\0"):
        page(api, f"/jobs/new?{urlencode({'from': unknown})}", 404)
    assert field(page(api, "/jobs/new?from="), "definition") == ""


def test_a_queue(api, queue):
    name = f"{queue}: <b>\"'#🐧"
    assert yaml.safe_load(model(api, "/jobs/new", params={"queue": name})["text"]) == {
        "job_queue": name, "test_data": {"test_cmds": "uname -a\n"}}
    expect(api.post("/v1/agents/images", {queue: {"core": "url: http://x/y\nsize: 010", "odd": "[", "text": "a"}}), 200)
    for image, data in (("core", {"url": "http://x/y", "size": 8}), ("odd", "["), ("text", "a"), ("nope", None), ("", None)):
        text = model(api, "/jobs/new", params={"queue": queue, "image": image, "reserve": "1"})["text"]
        assert yaml.safe_load(text) == {"job_queue": queue} | ({"provision_data": data} if data else {})


def test_a_reservation(api, queue):
    found = page(api, f"/jobs/new?queue={queue}&reserve=1")
    fields = {name: field(found, name) for name in ("definition", "key", "reserve", "minutes")}
    assert (fields["reserve"], fields["minutes"]) == ("1", "60")
    fields["ssh_keys"] = " lp:me \r\n\r\ngh:you"
    for wrong in ("", "0", "-1", "1.5", "9" * 30, "x"):
        answer = expect(send(api, JSON, **{**fields, "minutes": wrong}), 422).json()
        assert "whole number of minutes" in answer["faults"][0]["text"] and answer["minutes"] == wrong
        assert answer["ssh_keys"].split() == ["lp:me", "gh:you"] and answer["reserve"] is True
    job = job_of(send(api, **{**fields, "minutes": "90"}))
    got = expect(api.get(f"/v1/job/{job}"), 200).json()
    assert got["reserve_data"] == {"ssh_keys": ["lp:me", "gh:you"], "timeout": 5400}

"""The form for attachments on the page of a job that waits for them."""

import os

import pytest

from client import Api, expect, message, new_id
from test_web_signin import Visitor, client_of
from web import HTML, JSON, Page, page, text_of

AWAITING = {"test_data": {"attachments": [{"agent": "a.txt"}]}}


def put(api, job, content=b"x", headers=None, name="file", query=""):
    return api.post(f"/jobs/{job}/attachments{query}", files={name: ("a.tar.gz", content, "application/gzip")},
                    headers=headers or HTML)


def refused(response, status, says):
    found = Page(expect(response, status))
    assert says in text_of(found.one("main")), text_of(found.one("main"))


def test_attachments_are_uploaded(api, queue):
    job = api.submit(queue, **AWAITING)
    form, = [f for f in page(api, f"/jobs/{job}").all("form") if f.get("enctype") == "multipart/form-data"]
    assert (form.get("action"), form.get("method")) == (f"/jobs/{job}/attachments", "post")
    box, = [e for e in form.iter("input") if e.get("type") == "file"]
    content = os.urandom(3 * 8 * 261120 + 77)
    expect(api.claim(queue), 204)
    answer = expect(put(api, job, content, name=box.get("name")), 303)
    assert answer.headers["Location"] == f"/jobs/{job}?done=attached" and answer.headers["Cache-Control"] == "no-store"
    found = page(api, answer.headers["Location"])
    assert "The attachments are stored." in text_of(found.one("main"))
    assert not [f for f in found.all("form") if f.get("enctype")]
    refused(put(api, job), 409, "has its attachments already")
    assert api.claimed(queue) == job
    assert expect(api.get(f"/v1/job/{job}/attachments"), 200).content == content
    refused(put(api, job), 409, "does not wait any more")


def test_uploads_that_are_refused(api, queue):
    job = api.submit(queue, **AWAITING)
    plain = api.submit(queue)
    refused(put(api, plain), 409, "waits for no attachments")
    expect(put(api, plain, headers=JSON), 409, message("The job waits for no attachments"))
    for unknown in (new_id(), "nope", "%00%3Cb%3E"):
        refused(put(api, unknown), 404, "Job not found")
    refused(put(api, job, name="other"), 400, "Bad Request")
    refused(api.post_body(f"/jobs/{job}/attachments", b"file=x", "application/x-www-form-urlencoded", **HTML), 400, "Bad Request")
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        refused(put(api, job, headers={**HTML, **headers}), 403, "another site")
    assert [f for f in page(api, f"/jobs/{job}").all("form") if f.get("enctype")]


@pytest.mark.stores("sqlite")
def test_uploads_need_a_session_in_the_mode_login(login_server, queue):
    refused(put(Api(login_server.url), new_id()), 401, "sign in")
    visitor = Visitor(login_server.url, client_of(login_server))
    text = f"job_queue: {queue}\ntest_data: {{attachments: [{{agent: a.txt}}]}}"
    job = visitor.act("/jobs/new", definition=text).headers["Location"].split("/")[2].split("?")[0]
    refused(put(visitor, job), 403, "not of your session")
    form, = [f for f in page(visitor, f"/jobs/{job}").all("form") if f.get("enctype")]
    assert form.get("action") == f"/jobs/{job}/attachments?csrf={visitor.csrf}"
    expect(put(visitor, job, query=f"?csrf={visitor.csrf}"), 303)

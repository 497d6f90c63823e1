"""Forms of web pages: how they are read, which ones are refused, and the errors as pages."""

import pytest

from client import OVER, Api, expect, message, new_id
from web import HOSTILE, HTML, JSON, Page, page, text_of

FORM = "application/x-www-form-urlencoded"
FOREIGN = [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
           {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"}]


def send(api, path, body="", content_type=FORM, **headers):
    return api.post_body(path, body, content_type, **{**HTML, **headers})


def refused(response, status, text):
    """The page of an error."""
    found = Page(expect(response, status))
    assert text in text_of(found.one("main")), text_of(found.one("main"))
    return found


# ---- how forms are read ----

@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("body, status, says", [
    ("", 303, ""), ("a", 303, ""), ("&&a=&b=1&", 303, ""), ("a=b=c", 303, ""), ("%61=1&b=%C3%A9+%F0%9F%90%A7", 303, ""),
    ("=", 303, ""), ("a=%", 400, "'a'"), ("a=%4", 400, "'a'"), ("a=%zz", 400, "'a'"), ("%=1", 400, "''"),
    ("a=%00", 400, "'a'"), ("a\0b=1", 400, "''"), ("a=%ff", 400, "'a'"), (b"a=\xc3", 400, "'a'"),
    ("a=1&b=2&a=3", 400, "'a' twice"), ("a=1&%61=1", 400, "'a' twice"), ("&".join(f"f{n}=1" for n in range(64)), 303, ""),
    ("&".join(f"f{n}=1" for n in range(65)), 400, "64 fields"), ("n" * 2000 + "=%", 400, "''"),
    ("a=" + "%3Cscript%3E" * 5000, 303, ""), ("a=" + "x" * 2**20, 413, "Too large"), ("%3Cb%3E=%", 400, "<b>"),
])
def test_forms(api, queue, body, status, says):
    job = api.submit(queue)
    answer = expect(send(api, f"/jobs/{job}/cancel", body), status)
    if says:
        refused(answer, status, says)
        assert api.state(job) == "waiting"
    else:
        assert answer.headers["Location"] == f"/jobs/{job}?done=cancelled"


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("content_type, status", [
    (FORM, 303), (FORM.upper() + " ; charset=utf-8", 303), ("application/json", 415), ("text/plain", 415),
    ("multipart/form-data; boundary=x", 415), (None, 415), (FORM + "x", 415),
])
def test_types_of_forms(api, queue, content_type, status):
    job = api.submit(queue)
    answer = send(api, f"/jobs/{job}/cancel", b"a=1", content_type)
    if status == 415:
        refused(answer, 415, FORM)
    else:
        expect(answer, 303)


@pytest.mark.stores("sqlite")
def test_other_methods(api):
    path = f"/jobs/{new_id()}/cancel"
    for method in ("PUT", "DELETE"):
        answer = api.request(method, path, headers=HTML)
        assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "GET", "HEAD", "POST"}
        refused(answer, 405, "Method Not Allowed")
    refused(api.post("/queues", headers=HTML), 405, "Method Not Allowed")
    expect(api.post("/queues", headers=JSON), 405, message("Method Not Allowed"))
    expect(api.post("/healthz", headers=HTML), 405, message("Method Not Allowed"))


# ---- cancelling a job ----

def test_cancel(api, queue):
    job = api.submit(queue, name=HOSTILE)
    found = page(api, f"/jobs/{job}/cancel")
    form, = [f for f in found.all("form") if f.get("method") == "post"]
    assert form.get("action") == f"/jobs/{job}/cancel" and api.state(job) == "waiting"
    answer = expect(send(api, form.get("action")), 303)
    assert answer.headers["Location"] == f"/jobs/{job}?done=cancelled" and api.state(job) == "cancelled"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "The job is cancelled." in text_of(page(api, answer.headers["Location"]).one("main"))
    assert "is cancelled." not in page(api, f"/jobs/{job}?done=%3Cb%3E").text
    refused(send(api, form.get("action")), 409, "its state is cancelled")
    expect(send(api, form.get("action"), Accept="application/json"), 409,
           message("The job is over already, its state is cancelled"))
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 400, OVER)


@pytest.mark.parametrize("job", ["nope", "0db72945-c3b2-46e2-8730-29ad5a8082de", "%00%3Cb%3E%F0%9F%90%A7", "x" * 3000])
def test_cancel_of_an_unknown_job(api, job):
    page(api, f"/jobs/{job}/cancel", 404)
    refused(send(api, f"/jobs/{job}/cancel"), 404, "Job not found")


# ---- other sites ----

@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("headers", FOREIGN)
def test_forms_of_other_sites(api, login_server, queue, headers):
    """Also in the mode login, in which the API leaves the origin to the token."""
    job = api.submit(queue)
    refused(send(api, f"/jobs/{job}/cancel", **headers), 403, "another site")
    expect(send(api, f"/jobs/{job}/cancel", **{**headers, **JSON}), 403)
    assert api.state(job) == "waiting"
    refused(send(Api(login_server.url), f"/jobs/{job}/cancel", **headers), 403, "another site")
    expect(send(api, f"/jobs/{job}/cancel", **{"Sec-Fetch-Site": "same-origin", "Origin": api.url}), 303)

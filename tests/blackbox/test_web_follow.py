"""The page of a job that goes on, in a browser: it is told what is new."""

import pytest
from playwright.sync_api import expect as see

from client import Api, expect
from stack import wait_until
from test_web_browser import chromium, pytestmark, tab  # noqa: F401
from test_web_job import log, started

ROWS = ".view .row"


def is_told(page):
    see(page.locator("body[data-told]")).to_have_count(1)


@pytest.mark.slow
def test_a_job_as_it_goes_on(api, tab, queue):  # noqa: F811
    """State, phases and logs, without a reload and without a look of its own."""
    job = started(api, queue)
    api.set_state(job, "provision")
    page = tab(f"/jobs/{job}")
    page.evaluate("window.isSame = true")
    is_told(page)
    log(api, job, "provision", 0, "first\n")
    see(page.locator(ROWS)).to_have_text(["first"])
    for number in range(1, 4):
        log(api, job, "provision", number, f"\x1b[31mline {number}\x1b[0m\n<b>\n")
    see(page.locator(ROWS)).to_have_text(["first", *["line 1", "<b>", "line 2", "<b>", "line 3", "<b>"]])
    log(api, job, "test", 4, "of the test\n")
    log(api, job, "test", 0, "booting\n", kind="serial")
    api.set_state(job, "test")
    see(page.locator("#log-output-test")).to_contain_text("of the test")
    see(page.locator("#log-serial-test summary")).to_have_text("test (serial)")
    expect(api.post(f"/v1/result/{job}", {"status": {"provision": 0, "test": 3}}), 200)
    log(api, job, "test", 5, "the end\n")
    api.set_state(job, "complete")
    see(page.locator(".outcome")).to_contain_text("failed in test (3)")
    see(page.locator("#log-output-test")).to_contain_text("Exit Status: 3")
    see(page.locator("#log-output-test .row")).to_have_text(["of the test", "the end"])
    see(page.get_by_label("live")).to_have_count(0)
    assert page.evaluate("window.isSame")


@pytest.mark.slow
def test_the_place_in_a_queue(api, tab, queue):  # noqa: F811
    """It is shown at the next look of a live page."""
    first, job = api.submit(queue), api.submit(queue)
    page = tab(f"/jobs/{job}")
    is_told(page)
    see(page.get_by_text("1 jobs of its queue are handed out before it.")).to_be_visible()
    assert api.claimed(queue) == first
    see(page.get_by_text("It is the next job of its queue.")).to_be_visible()


@pytest.mark.slow
def test_a_frontend_that_is_killed(chromium, private, queue):  # noqa: F811
    """Each line once, behind the end of the frontend, and where it refuses streams."""
    stack = private("--max-streams", 1, webhooks=0)
    api = Api(stack.url)
    job = started(api, queue)
    api.set_state(job, "test")
    log(api, job, "test", 0, "line 0\n")
    context = chromium.new_context(base_url=stack.url)
    pages = [context.new_page() for _ in range(2)]
    try:
        pages[0].goto(f"/jobs/{job}")
        is_told(pages[0])
        pages[1].goto(f"/jobs/{job}")
        for page in pages:
            see(page.locator(ROWS)).to_have_text(["line 0"])
        log(api, job, "test", 1, "line 1\n")
        for page in pages:
            see(page.locator(ROWS)).to_have_text(["line 0", "line 1"])
        stack.kill("frontend")
        wait_until(stack.is_complete, "another frontend is there")
        log(api, job, "test", 2, "line 2\n")
        for page in pages:
            see(page.locator(ROWS)).to_have_text(["line 0", "line 1", "line 2"])
    finally:
        context.close()

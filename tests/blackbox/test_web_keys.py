"""The pages by keys alone, in a browser."""

import re

import pytest
from playwright.sync_api import expect as see

from test_web_browser import chromium, pytestmark, tab  # noqa: F401
from test_web_job import log

STEPS = 80  # presses of Tab after which an element is taken for one that keys do not reach


def walk(page, target):
    """Goes on with Tab to an element, whose focus must show."""
    for _ in range(STEPS):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            assert target.evaluate("element => element.matches(':focus-visible')")
            return
    raise AssertionError(f"Tab does not reach {target}")


@pytest.mark.slow
def test_without_a_mouse(api, tab, queue):  # noqa: F811
    page = tab(f"/jobs/new?queue={queue}")
    page.keyboard.press("Tab")
    see(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    walk(page, page.locator("#definition"))
    page.keyboard.press("Control+a")
    page.keyboard.type(f"job_queue: {queue}\nname: by keys")
    walk(page, page.get_by_role("button", name="Submit", exact=True))
    page.keyboard.press("Enter")
    see(page.get_by_role("heading", level=1)).to_have_text("by keys")
    job = re.search("/jobs/([0-9a-f-]+)", page.url)[1]
    assert api.claimed(queue) == job
    api.set_state(job, "test")
    log(api, job, "test", 0, "".join(f"line {i}\n" for i in range(200)))
    page.goto(f"/jobs/{job}")
    view = page.locator(".view")
    see(view).to_be_visible()
    walk(page, page.get_by_label("Search this log"))
    page.keyboard.type("line 15")
    page.keyboard.press("Enter")
    see(page.locator(".row.current")).to_have_text(re.compile("^line 15"))
    walk(page, view)
    page.keyboard.press("g")
    see(page.get_by_text("line 0", exact=True)).to_be_in_viewport()
    page.keyboard.press("/")
    see(page.get_by_label("Search this log")).to_be_focused()
    page.goto(f"/jobs/{job}")
    cancel = page.get_by_role("link", name="Cancel", exact=True)
    for key in ("Escape", "Enter"):
        walk(page, cancel)
        page.keyboard.press("Enter")
        see(page.get_by_role("dialog")).to_be_visible()
        button = page.get_by_role("button", name="Cancel the job")
        if not button.evaluate("element => element === document.activeElement"):
            walk(page, button)
        page.keyboard.press(key)
        if key == "Escape":
            see(page.get_by_role("dialog")).to_have_count(0)
            see(cancel).to_be_focused()
            page.goto(f"/jobs/{job}")
    see(page.get_by_role("status").first).to_have_text("The job is cancelled.")

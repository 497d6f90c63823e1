"""Pages as a strict parser of HTML sees them."""

import re

import html5lib

from client import expect
from stack import ROOT

ROW = re.compile(r'^PAGE\((\w+),[^()]*?\.path = "([^"]+)"', re.M)
ROWS = dict(ROW.findall((ROOT / "common/api.def").read_text()))
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SVG = "{http://www.w3.org/2000/svg}"
JSON = {"Accept": "application/json"}
POLICY = ("default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; "
          "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
# What a client may write where people write text.
HOSTILE = "<script>alert(1)</script>\"'>{{title}}{{{site}}}&lt;&#0; \x1b[31m🐧\ufffe\x85"


class Page:
    """An answer that must be HTML without a fault."""

    def __init__(self, response):
        self.response, self.text, self.headers = response, response.content.decode(), response.headers
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        self.root = parser.parse(self.text)

    def all(self, path):
        return self.root.findall(f".//{path}")

    def one(self, path):
        found, = self.all(path)
        return found

    def rows(self):
        """[{column: text}] of the one table; its head is a row of <th> only."""
        head, *body = self.one("table").iter("tr")
        assert {cell.tag for cell in head} == {"th"}
        names = [text_of(cell) for cell in head]
        for row in body:
            assert [cell.get("data-label") for cell in row] == names
        return [dict(zip(names, map(text_of, row))) for row in body]

    def links(self):
        return {text_of(a): a.get("href") for a in self.all("a")}


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def shown(text):
    """Characters that HTML forbids are shown as one that says so; blanks as text_of() has them."""
    return " ".join(re.sub("[\0-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]", "\ufffd", text).split())


def page(api, path, status=200, **options):
    """A page, and all that is true of every page."""
    response = expect(api.get(path, headers={**HTML, **options.pop("headers", {})}, **options), status)
    found = Page(response)
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    assert found.headers["Content-Security-Policy"] == POLICY
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Referrer-Policy"] == found.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert found.headers["Cache-Control"] == "private, no-cache"
    assert found.headers["Vary"] == "Accept, Accept-Encoding, Cookie"
    assert not found.all("style") and all(script.get("src") for script in found.all("script"))
    for element in found.root.iter():
        assert not [name for name in element.keys() if name == "style" or name.startswith("on")], element.tag
        if isinstance(element.tag, str) and element.tag in ("a", "form", "link", "script", "img"):
            target = element.get("href") or element.get("action") or element.get("src") or ""
            assert not target.lower().startswith(("javascript:", "data:")), target
    assert len(found.all("h1")) == 1 and len(found.all("main")) == 1 and text_of(found.one("title"))
    return found


def model(api, path, status=200, **options):
    return expect(api.get(path, headers=JSON, **options), status).json()

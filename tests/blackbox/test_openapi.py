"""/openapi.json."""

from client import expect
from stack import ROOT


def test_document(api):
    """The one in the program is the one of the docs; HEAD has its length."""
    answer = expect(api.get("/openapi.json"), 200)
    assert answer.content == (ROOT / "docs/openapi.json").read_bytes()
    assert answer.headers["Content-Type"] == "application/json"
    head = api.head("/openapi.json")
    assert head.headers["Content-Length"] == str(len(answer.content)) and head.content == b""

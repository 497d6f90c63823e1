"""docs/api.md and docs/openapi.json: the server answers as they show."""

import json
import re

import openapi_spec_validator
import pytest

import auth
from apipage import HEADING, PAGE, examples, variables
from curl import run
from stack import ROOT


def same_text(shown, is_there):
    pattern = ".+".join(map(re.escape, shown.split("…")))
    return re.fullmatch(pattern, is_there, re.S) is not None


def same(shown, is_there):
    """Whether a value is as shown; `…` stands for anything."""
    if shown == "…":
        return True
    if isinstance(shown, dict) and isinstance(is_there, dict):
        return shown.keys() == is_there.keys() and all(
            same(value, is_there[name]) for name, value in shown.items())
    if isinstance(shown, list) and isinstance(is_there, list):
        return len(shown) == len(is_there) and all(map(same, shown, is_there))
    if isinstance(shown, str) and isinstance(is_there, str):
        return same_text(shown, is_there)
    return type(shown) is type(is_there) and shown == is_there


def same_body(shown, is_there):
    if shown[:1] in ("{", "["):
        return same(json.loads(shown.replace(": …", ': "…"')), json.loads(is_there))
    return same_text(shown, is_there.rstrip("\n")) or (not shown and not is_there)


@pytest.mark.slow
def test_examples(private, tmp_path):
    """Every example of the page, one after the other, on a new server in the open mode."""
    server = private(env={"TESTFLINGER_BCRYPT_ROUNDS": "8", **auth.SECRETS}, webhooks=1)  # with no clients but those of the page
    given = variables(server)
    for _, command, status, headers, body in examples():
        answer = run(server, command, tmp_path, **given)
        shown = f"{command}\n{answer}"
        assert answer.status == status and same_body(body, answer.body), shown
        for header in headers:
            assert any(same_text(header[2:], h) for h in answer.headers), shown


def test_every_endpoint_has_an_example_of_its_own():
    pages = HEADING.findall(PAGE)
    assert pages and len(set(pages)) == len(pages)
    for (method, path), command in {(e[0], e[1]) for e in examples()}:
        pattern = re.sub(r"<\w+>", "[^/ ?']+", path).rstrip("/")
        if re.search(rf"localhost:8000{pattern}/?(?:['? ]|$)", command, re.M):
            pages = [p for p in pages if p != (method, path)]
    assert pages == []


def test_the_openapi_document_is_valid():
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    openapi_spec_validator.validate(document)
    assert {(method.upper(), re.sub(r"\{(\w+)\}", r"<\1>", path))
            for path, item in document["paths"].items() for method in item
            if method != "parameters"} == set(HEADING.findall(PAGE))

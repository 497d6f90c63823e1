"""docs/openapi.json, against which the client of the tests holds each answer that it gets."""

import functools
import json
import re

import jsonschema_rs

from stack import ROOT


def without_nullable(value):
    """OpenAPI's `nullable` as JSON schema says it."""
    if isinstance(value, list):
        return [without_nullable(v) for v in value]
    if not isinstance(value, dict):
        return value
    value = {k: without_nullable(v) for k, v in value.items()}
    if value.pop("nullable", False) is True:
        return {"anyOf": [value, {"type": "null"}]}
    return value


DOCUMENT = without_nullable(json.loads((ROOT / "docs/openapi.json").read_text()))
# Literal segments win over parameters, as in the server.
PATHS = [(re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + "/?"), item)
         for path, item in sorted(DOCUMENT["paths"].items(), key=lambda row: row[0].count("{"))]


@functools.cache
def validator(schema):
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": DOCUMENT["components"]},
                                              validate_formats=True)


def answer_of(method, path, status):
    """What the document says of an answer; None: nothing, since it has no such endpoint."""
    for pattern, item in PATHS:
        if pattern.fullmatch(path):
            operation = item.get({"HEAD": "get"}.get(method, method.lower()))
            if not operation:
                return None
            found = operation["responses"].get(str(status), operation["responses"].get(f"{status // 100}XX"))
            assert found, f"{method} {path} answered {status}: docs/openapi.json has no such answer"
            while "$ref" in found:
                found = functools.reduce(dict.get, found["$ref"].split("/")[1:], DOCUMENT)
            return found
    return None


def check(method, path, response):
    """Fails where an answer is not as the document says."""
    status = response.status_code
    answer = answer_of(method, path.partition("?")[0], status) if 200 <= status < 500 else None
    if answer is None or method == "HEAD":
        return
    where = f"{method} {path} {status}"
    media = response.headers.get("Content-Type", "").partition(";")[0]
    content = answer.get("content", {})
    if not content:
        assert not response.content, f"{where} has a body, in docs/openapi.json it has none"
        return
    assert media in content, f"{where} is {media}, in docs/openapi.json {list(content)}"
    if media == "application/json":
        fault = next(validator(json.dumps(content[media]["schema"])).iter_errors(response.json()), None)
        assert not fault, f"{where} is not as in docs/openapi.json: {fault}"

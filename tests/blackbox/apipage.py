"""The examples of docs/api.md."""

import re

import auth
from client import Api
from stack import ROOT

PAGE = (ROOT / "docs/api.md").read_text()
HEADING = re.compile(r"^### (GET|POST|PUT|DELETE) (\S+)$", re.M)


def examples():
    """[(endpoint, command, status, headers, body)] of the page, in its order."""
    found = []
    for block in re.finditer(r"^```console\n(.*?)^```", PAGE, re.S | re.M):
        endpoint = HEADING.findall(PAGE[:block.start()])[-1]
        for example in re.split(r"^\$ ", block[1], flags=re.M)[1:]:
            parts = re.match(r"(.*?)\n((?:< .*\n)*)(\d{3})(?: (.*))?\Z", example.rstrip("\n"), re.S)
            assert parts, f"not understood: {example}"
            command, headers, status, body = parts.groups()
            found.append((endpoint, command, int(status), headers.splitlines(), body or ""))
    return found


def variables(server):
    """What the examples use: makes the admin and logs in."""
    login = auth.Admin(server).create("testflinger-admin", "the-secret-of-the-admin", "admin")
    tokens = auth.login(Api(server.url), login)
    return {"SECRET": login[1], "TOKEN": tokens["access_token"],
            "REFRESH_TOKEN": tokens["refresh_token"]}

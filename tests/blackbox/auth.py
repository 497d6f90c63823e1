"""Access control for the tests: tokens of any kind, clients made by the admin tool."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

from client import expect
from stack import BIN, secret
from storage import storage_of

KEY = secret("the-signing-key-of-all-these-tests")
OTHER_KEY = secret("a-signing-key-that-no-server-knows")
ROLES = ("admin", "manager", "contributor", "agent")
ENV = {"JWT_SIGNING_KEY": KEY, "TESTFLINGER_BCRYPT_ROUNDS": "8"}  # 8: these tests log in a lot
# One for all: the databases of a mongod share its key vault.
MASTER_KEY = secret(base64.b64encode(bytes(range(100, 196))).decode())
SECRETS = {"TESTFLINGER_SECRETS_MASTER_KEY": MASTER_KEY}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, key=KEY, header=None, digest=hashlib.sha256):
    """Any claims, any header; as a token."""
    parts = [b64(json.dumps(p).encode() if not isinstance(p, bytes) else p)
             for p in ({"alg": "HS256", "typ": "JWT"} if header is None else header, claims)]
    text = ".".join(parts)
    return secret(f"{text}.{b64(hmac.new(key.encode(), text.encode(), digest).digest())}")


LIFETIME = 12 * 3600  # more than the tests take: many tokens are made before the first one runs


def claims(permissions=None, age=0, lifetime=LIFETIME, **changes):
    now = int(time.time()) - age
    made = {"exp": now + lifetime, "iat": now, "sub": "access_token",
            "permissions": permissions or {}, **changes}
    return {name: value for name, value in made.items() if value is not None}


def token(permissions=None, key=KEY, **changes):
    return sign(claims(permissions, **changes), key)


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


# Clients whose tokens the tests sign themselves: guarded routes look them up.
KNOWN = {**{f"the-{name}": name for role in ROLES for name in (role, role.upper())},
         "c": "admin", "me": "admin"}


def introduce(stack):
    """Makes the clients of as_role(), as if they had always been there."""
    if not stack.store or not {"JWT_SIGNING_KEY", "JWT_SIGNING_KEY_FILE"} & set(stack.env):
        return
    storage = storage_of(stack)
    for client_id, role in KNOWN.items():
        storage.add_client(client_id, role=role)


def as_role(role, client_id=None, **permissions):
    """Headers of a client of this role."""
    return bearer(token({"client_id": client_id or f"the-{role}", "role": role, **permissions}))


def payload(text):
    """The claims of a token, unchecked."""
    part = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


NO_ALG = {"typ": "JWT"}
GOOD = {"client_id": "c", "role": "admin", "max_priority": {"*": 1000}}
# name: (token, answer of today's servers, answer of the first ones)
INVALID = (403, "Invalid Token")
FAULTS = {
    "expired": (lambda: token(GOOD, age=LIFETIME + 100), (401, "Token has expired"), (401, "Token has expired")),
    "early": (lambda: token(GOOD, age=-60), (401, "Token not yet valid"), INVALID),
    "not before": (lambda: token(GOOD, nbf=int(time.time()) + 60), (401, "Token not yet valid"), INVALID),
    "other key": (lambda: token(GOOD, key=OTHER_KEY), (403, "Invalid Token signature"), INVALID),
    "cut": (lambda: token(GOOD)[:-5], (403, "Invalid Token signature"), INVALID),
    "no signature": (lambda: token(GOOD).rpartition(".")[0] + ".", (403, "Invalid Token signature"), INVALID),
    "changed": (lambda: ".".join([token(GOOD).split(".")[0], b64(json.dumps(claims(
        {"role": "admin"}, lifetime=9999)).encode()), token(GOOD).split(".")[2]]),
                (403, "Invalid Token signature"), INVALID),
    **{f"without {name}": (lambda name=name: token(GOOD, **{name: None}),
                           (403, f"Token missing required claim: {name}"), INVALID)
       for name in ("exp", "iat", "sub")},
    "sub is a number": (lambda: token(GOOD, sub=5), INVALID, INVALID),
    "iat is a text": (lambda: token(GOOD, iat="x"), INVALID, INVALID),
    "none": (lambda: sign(claims(GOOD), header={"alg": "none"}).rpartition(".")[0] + ".", INVALID, INVALID),
    "none, signed": (lambda: sign(claims(GOOD), header={"alg": "none"}), INVALID, INVALID),
    "HS512": (lambda: sign(claims(GOOD), header={"alg": "HS512"}, digest=hashlib.sha512), INVALID, INVALID),
    "RS256": (lambda: sign(claims(GOOD), header={"alg": "RS256"}), INVALID, INVALID),
    "no algorithm": (lambda: sign(claims(GOOD), header=NO_ALG), INVALID, INVALID),
    "no token": (lambda: "not-a-token", (403, "Unable to decode token"), INVALID),
    "two parts": (lambda: token(GOOD).rpartition(".")[0], (403, "Unable to decode token"), INVALID),
    "no JSON": (lambda: sign(b"not JSON"), (403, "Unable to decode token"), INVALID),
    "a list": (lambda: sign(b"[]"), (403, "Unable to decode token"), INVALID),
}


class Admin:
    """testflinger-admin on the store of a server."""

    def __init__(self, stack):
        self.store = stack.store

    def run(self, *args, text="", **env):
        return subprocess.run([BIN / "testflinger-admin", "--store", self.store, *map(str, args)],
                              input=text, text=True, capture_output=True, timeout=60,
                              env={**os.environ, "TESTFLINGER_BCRYPT_ROUNDS": "8", **env})

    def good(self, *args, **options):
        """What a command that must succeed prints."""
        done = self.run(*args, **options)
        assert done.returncode == 0, done
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return done.stdout

    def json(self, *args, **options):
        return json.loads(self.good(*args, "--json", **options))

    def create(self, client_id, key, role="contributor", *args):
        """Makes a client; returns what logs it in."""
        self.good("clients", "create", client_id, "--role", role, "--secret-stdin", *args, text=key)
        return client_id, secret(key)


def login(api, credentials, **options):
    """The answer of the token endpoint, which must be good, as JSON."""
    answer = expect(api.post("/v1/oauth2/token", auth=credentials,
                             headers={"Accept": "application/json"}, **options), 200).json()
    secret(answer["access_token"])
    secret(answer["refresh_token"])
    return answer


def events(stack):
    """The security events of a server's log, oldest first."""
    found = []
    for line in stack.log().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("type") == "security":
            found.append(event)
    return found

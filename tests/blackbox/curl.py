"""Commands with curl as documents show them, on a server of the tests."""

import os
import subprocess
from dataclasses import dataclass

# Before a command: curl writes what it got into files, and every host is the server.
SHELL = """
set -uo pipefail
curl() {
    command curl --silent --show-error --max-time 20 --dump-header headers \
        --write-out '%{http_code}\n' --connect-to "::127.0.0.1:$PORT" "$@" --output body
}
"""


@dataclass
class Answer:
    status: int
    headers: list[str]
    body: str


def run(server, command, folder, **variables):
    """Runs a command of a shell that calls curl once, in a folder of its own; the (first) answer."""
    for name in ("body", "headers"):
        (folder / name).write_bytes(b"")
    done = subprocess.run(
        ["bash", "-c", SHELL + command], cwd=folder, capture_output=True, text=True, timeout=30,
        env={**os.environ, "PORT": str(server.port.number), "no_proxy": "*", **variables})
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return Answer(int(done.stdout.split()[0]), (folder / "headers").read_text().splitlines(),
                  (folder / "body").read_text())

"""What README.md tells a new user, done word for word."""

import json
import re
import subprocess

from stack import ROOT


def test_first_job(server, api, queue):
    """The block of curl commands, with this server's address and a queue of its own."""
    block = re.search(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)[1]
    assert "http://127.0.0.1:8000" in block and "demo" in block
    block = block.replace("http://127.0.0.1:8000", server.url).replace("demo", queue)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    job, position, agent, claimed, *posts, output, result = done.stdout.splitlines()
    job_id = job.removeprefix("job ")
    assert position == "0  jobs are before it" and agent == "OK" and posts == ["OK"] * 3
    assert json.loads(claimed)["job_id"] == job_id
    assert output == "6.1.0-28-amd64"
    assert json.loads(result) == {"job_state": "complete", "test_status": 0}
    assert api.state(job_id) == "complete"


def test_links():
    """Files that the README names are there."""
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    links += re.findall(r"^\| (`[\w/]+/`(?:, `[\w/]+/`)*)", text, re.M)
    paths = [p for link in links for p in re.findall(r"[\w./-]+", link)]
    assert len(paths) > 8
    assert [p for p in paths if not (ROOT / p).exists()] == []

"""The HTTP door held to its own description by Schemathesis: what it answers is what it says that it answers.

Short among the other tests; ``make fuzz EXAMPLES=10000`` tries as much of every operation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from quadfollow_server.running import RunningServer

EXAMPLES = os.environ.get("QUADFOLLOW_FUZZ_EXAMPLES", "5")
NOT_SAID = ["positive_data_acceptance"]
"""A description cannot say which bytes are a picture, so that what keeps to it may be refused all the same."""
if "QUADFOLLOW_FUZZ_EXAMPLES" in os.environ:
    # Among thousands, some break the description only in thought: an empty list in a multipart body is no part of it.
    NOT_SAID.append("negative_data_rejection")

EXPECTED = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""
"""A frame whose deadline is a fraction of a millisecond is dropped, which the description tells as 503."""


def test_the_server_keeps_to_its_description(server: RunningServer, tmp_path: Path) -> None:
    """Whether requests keep to it or not, status, headers, content type and body are as described, and never 500."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(EXPECTED)
    program = [Path(sys.executable).with_name("schemathesis"), "--config-file", config]
    command = [*program, "run", f"{server.url}/openapi.json"]
    options = [
        "--phases=fuzzing",
        f"--max-examples={EXAMPLES}",
        f"--exclude-checks={','.join(NOT_SAID)}",
        "--seed=1",
        "--wait-for-schema=60",
        "--suppress-health-check=all",
    ]
    done = subprocess.run(
        [*command, *options, "--request-timeout=60", "--no-color"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout

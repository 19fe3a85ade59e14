#!/usr/bin/env bash
# Runs the tests that need a Ray cluster: several nodes on this machine, one of which is killed under load; data
# rendered and a search made on it.
# Ray goes into an environment of its own (SCALE_VENV), at the versions of constraints.txt where those name them.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${SCALE_VENV:-build/scale}"
# One whose making was interrupted may have a Python and no pip.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv "$venv"
echo "scale-test: installing Ray into $venv"
"$venv/bin/python" -m pip install --quiet --progress-bar off --constraint constraints.txt --editable '.[scale,sim,tune]' \
    hypothesis onnx psutil pytest pytest-timeout pyyaml
# Ray would otherwise report usage to its makers.
RAY_USAGE_STATS_ENABLED=0 "$venv/bin/python" -m pytest -m slow tests/server/scale tests/scale "$@"

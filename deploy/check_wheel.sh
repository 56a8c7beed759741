#!/bin/sh
# Build the wheel, install it alone (no extras), and use what a client without workers uses.
set -eu
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder/dist" .
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$folder"/dist/*.whl
cp examples/repo_report.yaml "$folder"
cd "$folder"
venv/bin/python -c 'import orchestrator_client; print(orchestrator_client.Client, orchestrator_client.StateGraph)'
venv/bin/orchestrator validate repo_report.yaml
venv/bin/python -c '
from importlib.resources import files
pages = files("orchestrator_client.flower")
assert (pages / "templates" / "run.html").is_file() and (pages / "static" / "run.js").is_file(), pages'

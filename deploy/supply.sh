#!/usr/bin/env bash
# Of what is installed where quadfollow serves: known vulnerabilities, or the list of all parts.
#
#   deploy/supply.sh audit    asks the index of vulnerabilities about each package; exit code 1 where one has any
#   deploy/supply.sh sbom     writes out/supply/sbom.cdx.json, a CycloneDX bill of materials with licences and hashes
#
# EXTRAS=cuda adds an extra, as the image does. Both look at a virtual environment made as the Dockerfile makes its own.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'supply: %s\n' "$*"; }
fail() {
    printf 'supply: %s\n' "$*" >&2
    exit 2
}

python="${VENV:-.venv}/bin/python"
folder=out/supply
served="$folder/served" tools="$folder/tools" report="$folder/audit.json"
mkdir -p "$folder"

make_environments() {
    "$python" -m venv --clear "$served"
    "$python" -m venv --clear "$tools"
    say "installing what is served into $served, and the tools into $tools"
    "$served/bin/python" -m pip install --quiet --progress-bar off --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"
    "$served/bin/python" -m pip uninstall --quiet --yes pip setuptools
    "$tools/bin/python" -m pip install --quiet --progress-bar off pip-audit==2.10.1 cyclonedx-bom==7.5.0
}

audit() {
    local code=0
    "$tools/bin/pip-audit" --path "$(echo "$served"/lib/python*/site-packages)" --skip-editable --progress-spinner off \
        --format json --output "$report" 2>"$folder/audit.log" || code=$?
    # It ends with 1 both where it found something and where it could not ask.
    [[ -s $report ]] || fail "the index of vulnerabilities could not be asked: $(tail -1 "$folder/audit.log")"
    "$python" - "$report" <<'PYTHON'
import json, sys

packages = json.load(open(sys.argv[1]))["dependencies"]
unknown = [f"{one['name']} ({one['skip_reason']})" for one in packages if "skip_reason" in one]
for one in packages:
    for found in one.get("vulns", []):
        print(f"{one['name']} {one['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'nothing yet'}")
found = sum(len(one.get("vulns", [])) for one in packages)
print(f"supply: {len(packages) - len(unknown)} packages looked up, {found} known vulnerabilities")
if unknown:
    print("supply: not looked up:", ", ".join(unknown))
PYTHON
    return "$code"
}

sbom() {
    "$tools/bin/cyclonedx-py" environment "$served/bin/python" --pyproject pyproject.toml --output-format JSON \
        --output-reproducible --output-file "$folder/sbom.cdx.json" 2>"$folder/sbom.log" || fail "$(tail -3 "$folder/sbom.log")"
    "$python" -c 'import json, sys; bom = json.load(open(sys.argv[1])); \
print(f"supply: {sys.argv[1]}: {bom[\"bomFormat\"]} {bom[\"specVersion\"]}, {len(bom[\"components\"])} components")' "$folder/sbom.cdx.json"
}

case "${1:-}" in
audit | sbom)
    make_environments
    "$1"
    ;;
*) fail "say audit or sbom" ;;
esac

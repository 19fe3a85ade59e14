#!/usr/bin/env bash
# Of what is installed where quadfollow serves: known vulnerabilities, or the list of all parts.
#
#   deploy/supply.sh audit    asks the index of vulnerabilities about each package; exit code 1 where one has any,
#                             2 where it does not answer for one
#   deploy/supply.sh sbom     writes out/supply/sbom.cdx.json, a CycloneDX bill of materials with licences
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
    # pip would leave out an extra that there is not, without a word.
    "$python" deploy/requirements.py "${EXTRAS:-}" >/dev/null || fail "EXTRAS=${EXTRAS:-} cannot be looked at"
    # They are made anew only when what they are made of has changed.
    local made="$folder/made-of" wanted
    wanted="$(sha256sum pyproject.toml constraints.txt) ${EXTRAS:-}"
    [[ -f $made && $(<"$made") == "$wanted" ]] && return
    rm -f "$made"
    say "installing what is served into $served, and the tools into $tools"
    "$python" -m venv --clear "$served"
    "$served/bin/python" -m pip install --quiet --progress-bar off --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"
    "$served/bin/python" -m pip uninstall --quiet --yes pip setuptools
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --progress-bar off pip-audit==2.10.1 cyclonedx-bom==7.5.0
    printf '%s\n' "$wanted" >"$made"
}

audit() {
    rm -f "$report"
    # It ends with 0 also where it could look up nothing, and with 1 both for a finding and for a fault of its own.
    "$tools/bin/pip-audit" --path "$(echo "$served"/lib/python*/site-packages)" --progress-spinner off \
        --format json --output "$report" 2>"$folder/audit.log" || true
    [[ -s $report ]] || fail "the index of vulnerabilities could not be asked: $(tail -1 "$folder/audit.log")"
    "$python" - "$report" <<'PYTHON'
import json, sys

packages = [one for one in json.load(open(sys.argv[1]))["dependencies"] if one["name"] != "quadfollow"]
unknown = [one["name"] for one in packages if "skip_reason" in one]
known = [(one, found) for one in packages for found in one.get("vulns", [])]
for one, found in known:
    print(f"{one['name']} {one['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'nothing yet'}")
print(f"supply: {len(packages) - len(unknown)} of {len(packages)} packages looked up, {len(known)} known vulnerabilities")
if unknown:
    print("supply: the index does not answer for", ", ".join(unknown), file=sys.stderr)
sys.exit(1 if known else 2 if unknown else 0)
PYTHON
}

sbom() {
    "$tools/bin/cyclonedx-py" environment "$served/bin/python" --pyproject pyproject.toml --output-format JSON \
        --output-reproducible --output-file "$folder/sbom.cdx.json" 2>"$folder/sbom.log" || fail "$(tail -3 "$folder/sbom.log")"
    "$python" - "$folder/sbom.cdx.json" <<'PYTHON'
import json, sys

bom = json.load(open(sys.argv[1]))
print(f"supply: {sys.argv[1]}: {bom['bomFormat']} {bom['specVersion']}, {len(bom['components'])} components")
PYTHON
}

case "${1:-}" in
audit | sbom)
    make_environments
    "$1"
    ;;
*) fail "say audit or sbom" ;;
esac

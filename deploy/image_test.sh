#!/usr/bin/env bash
# Builds the Dockerfile and runs the image for real, without a Docker daemon and without an image registry:
# buildah builds on a base made by debootstrap, podman runs. Needs root on Debian or Ubuntu.
#
#   deploy/image_test.sh            the server for machines without a GPU and the simulator: built, run, asked, stopped
#   TRAIN=1 deploy/image_test.sh    also the one that trains (3 GB): it takes a step
#   CUDA=1 deploy/image_test.sh     also the default image (several GB): it must refuse to start where no GPU is
#
# What this cannot show is `--gpus all` itself: that needs a host with a GPU and NVIDIA's container toolkit.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'image-test: %s\n' "$*"; }
fail() {
    printf 'image-test: %s\n' "$*" >&2
    exit 1
}

[[ $(id -u) == 0 ]] || fail "containers are built as root here: sudo make image-test"
command -v apt-get >/dev/null || fail "this test makes its base with Debian's debootstrap; with Docker, see the Dockerfile's head"
tools=()
for tool in buildah podman runc debootstrap iptables; do
    command -v "$tool" >/dev/null || tools+=("$tool")
done
[[ -x /usr/lib/podman/netavark || -x /usr/lib/cni/bridge ]] || tools+=(netavark)
if ((${#tools[@]})); then
    say "installing ${tools[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "${tools[@]}" >/dev/null
fi

work="$(mktemp --directory "${TMPDIR:-/tmp}/quadfollow-image.XXXXXX")"
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver overlay)
podman=(podman "${storage[@]}" --cgroup-manager cgroupfs --runtime runc --log-level error)
confined=(--pull never --no-healthcheck --read-only --cap-drop=all --ulimit nofile=4096:4096 --ulimit nproc=4096:4096)
python="${VENV:-.venv}/bin/python"
http=18000 router=15555 pub=15556

cleanup() {
    "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1 || true
    buildah "${storage[@]}" rm --all >/dev/null 2>&1 || true
    umount --lazy "$work/storage/overlay" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

say "making a base: Debian bookworm with its Python"
started=$SECONDS
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" >"$work/debootstrap.log" ||
    fail "debootstrap: $(tail -3 "$work/debootstrap.log")"
base="$(buildah "${storage[@]}" from scratch)"
buildah "${storage[@]}" add --quiet "$base" "$work/base" / >/dev/null
buildah "${storage[@]}" commit --quiet "$base" localhost/base >/dev/null
rm -rf --one-file-system "$work/base"
say "the base took $((SECONDS - started)) s: $("${podman[@]}" images --format '{{.Size}}' localhost/base)"

# The build reaches the package index with this machine's own certificates.
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$work/pip.conf"

build() { # NAME BUILD-ARGUMENTS...
    local name="$1" started=$SECONDS
    shift
    buildah "${storage[@]}" bud --quiet --format docker --isolation chroot --network host --pull-never --layers \
        --volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
        --volume "$work/pip.conf:/etc/pip.conf:ro" \
        --build-arg BASE=localhost/base "$@" --tag "localhost/$name" . >"$work/build.log" 2>&1 ||
        fail "the build failed: $(tail -20 "$work/build.log")"
    say "built $name in $((SECONDS - started)) s: $("${podman[@]}" images --format '{{.Size}}' "localhost/$name")"
}

start() { # NAME OPTIONS-AND-IMAGE...
    local name="$1"
    shift
    "${podman[@]}" run "${confined[@]}" --detach --name "$name" "$@" >/dev/null
}

ask() { "$python" -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode())' "$1" 2>/dev/null; }

await_ready() {
    for _ in $(seq 120); do
        ask "http://127.0.0.1:$http/readyz" >/dev/null && return
        [[ $("${podman[@]}" inspect --format '{{.State.Running}}' "$1") == true ]] || break
        sleep 0.5
    done
    fail "$1 did not become ready: $("${podman[@]}" logs "$1" 2>&1 | tail -20)"
}

refuses_without_gpu() { # NAME IMAGE
    local name="$1" code
    start "$name" --env QUADFOLLOW_SERVE_DEVICE=cuda "localhost/$2"
    code="$("${podman[@]}" wait "$name")"
    say "$2 on device cuda without a GPU: exit code $code: $("${podman[@]}" logs "$name" 2>&1 | tail -1)"
    [[ $code == 4 ]] || fail "expected exit code 4"
    "${podman[@]}" logs "$name" 2>&1 | grep "^error: device cuda: no NVIDIA driver" >/dev/null || fail "the message does not say what is missing"
}

build quadfollow-cpu --target serve --build-arg EXTRAS=openvino --build-arg DEVICE=auto
start serving --publish "$http:8000" --publish "$router:5555" --publish "$pub:5556" localhost/quadfollow-cpu
await_ready serving
say "ready; runs as $("${podman[@]}" exec serving id)"
[[ $("${podman[@]}" exec serving id -u) != 0 ]] || fail "it runs as root"
if "${podman[@]}" exec serving python3 -c 'import tensorflow' 2>/dev/null; then fail "TensorFlow is in the serving image"; fi
"$python" deploy/image_check.py --url "http://127.0.0.1:$http" --address "tcp://127.0.0.1:$router"
# podman 4.3 checks health by an exec of the image's own command; Docker does the same on its own clock.
"${podman[@]}" exec serving python3 -c \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/readyz' % os.environ['QUADFOLLOW_SERVE_PORT'], timeout=2)"
say "the health check passes"
"${podman[@]}" logs serving 2>&1 | grep "open to everybody" >/dev/null || fail "it does not warn that everybody may use it"

stopped=$(date +%s%N)
"${podman[@]}" kill --signal TERM serving >/dev/null
code="$("${podman[@]}" wait serving)"
took=$((($(date +%s%N) - stopped) / 1000000))
say "SIGTERM: exit code $code after $took ms"
[[ $code == 0 ]] || fail "expected exit code 0: $("${podman[@]}" logs serving 2>&1 | tail -5)"
((took < 5000)) || fail "it took longer than 5 s to stop"

"${podman[@]}" run "${confined[@]}" --rm --volume keys:/keys localhost/quadfollow-cpu keys new tester --keys /keys --out - >"$work/tester.json"
start locked --publish "$http:8000" --publish "$router:5555" --volume keys:/keys:ro --env QUADFOLLOW_SERVE_KEYS=/keys localhost/quadfollow-cpu
await_ready locked
if ask "http://127.0.0.1:$http/info" >/dev/null; then fail "with keys set it answers without one"; fi
QUADFOLLOW_KEY_FILE="$work/tester.json" "$python" deploy/image_check.py --url "http://127.0.0.1:$http" --address "tcp://127.0.0.1:$router"
"${podman[@]}" kill --signal TERM locked >/dev/null
"${podman[@]}" wait locked >/dev/null
say "with keys in a volume it answers those who have one, and nobody else"

refuses_without_gpu refused quadfollow-cpu

build quadfollow-sim --target sim
# What the image does by itself, but shorter: a server, a drone that flies behind it in the city, a film.
"${podman[@]}" run "${confined[@]}" --tmpfs /tmp --rm --env QUADFOLLOW_DEMO_SECONDS=3 localhost/quadfollow-sim demo --json >"$work/demo.json"
"$python" -c 'import json, sys; told = json.load(open(sys.argv[1])); sys.exit(not (told["overall"]["seconds"] and told["flights"][0]["outcomes"]["result"]))' \
    "$work/demo.json" || fail "no answer came to the demo in the city: $(cat "$work/demo.json")"
say "the simulator's image flies the demo through the city"

if [[ -n ${TRAIN:-} ]]; then
    build quadfollow-train --target train
    shared=("${confined[@]}" --tmpfs /tmp --rm --volume work:/data:U)
    "${podman[@]}" run "${shared[@]}" localhost/quadfollow-sim data render --count 8 --out /data/city >/dev/null 2>&1 || fail "rendering failed"
    "${podman[@]}" run "${shared[@]}" localhost/quadfollow-train train --data /data/city --out /data/run \
        --epochs 1 --steps 1 --validation-steps 1 --batch 2 >"$work/train.log" 2>&1 || fail "training failed: $(tail -5 "$work/train.log")"
    "${podman[@]}" run "${shared[@]}" localhost/quadfollow-train export /data/run --out /data/mine.onnx >"$work/train.log" 2>&1 ||
        fail "exporting failed: $(tail -5 "$work/train.log")"
    say "the training image takes a step on what the simulator's rendered, and exports the network"
fi

if [[ -n ${CUDA:-} ]]; then
    (($(df --output=avail -BG "$work" | tail -1 | tr -dc 0-9) >= 25)) || fail "the CUDA image needs 25 GB of free disk while it is built"
    build quadfollow --target serve
    "${podman[@]}" run "${confined[@]}" --rm --entrypoint python3 localhost/quadfollow -c '
import onnxruntime, sys
onnxruntime.preload_dlls()
loaded = open("/proc/self/maps").read()
names = ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcufft.so.12", "libcurand.so.10", "libcudnn.so.9")
sys.exit(" ".join(name for name in names if name not in loaded) or 0)' || fail "the CUDA image lacks these libraries"
    say "the image holds every library of CUDA and cuDNN that onnxruntime loads; the driver comes from the host"
    refuses_without_gpu refused-cuda quadfollow
fi
say "all passed; not shown: --gpus all, which needs a host with a GPU"

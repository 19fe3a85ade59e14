#!/usr/bin/env bash
# Loads an exported model repository into a real Triton server and compares its answers with onnxruntime's own.
#
# The server is the one inside nvidia-pytriton's wheel, which has the Python backend only; so the repository's Python
# variant is run, and the onnxruntime variant is checked against Triton's schema. Needs Debian's or Ubuntu's python3
# with its shared library (the backend links it); everything else goes into an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'triton-test: %s\n' "$*"; }
fail() {
    printf 'triton-test: %s\n' "$*" >&2
    exit 1
}

python=/usr/bin/python3
[[ -x $python ]] || fail "there is no $python"
minor="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
# Only root's PATH has ldconfig on Debian.
libraries() { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; }
if ! libraries | grep -F "libpython$minor.so.1.0" >/dev/null || ! "$python" -c 'import ensurepip' 2>/dev/null; then
    [[ $(id -u) == 0 ]] || fail "please run: sudo apt-get install --yes libpython$minor python$minor-venv"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq "libpython$minor" "python$minor-venv" >/dev/null
fi

work="$(mktemp --directory "${TMPDIR:-/tmp}/quadfollow-triton.XXXXXX")"
server=
cleanup() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

venv="${TRITON_VENV:-build/triton}"
say "installing Triton into $venv"
# One whose making was interrupted may have a Python and no pip.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --progress-bar off nvidia-pytriton==0.7.0 'tritonclient[grpc]==2.67.0' 'onnxruntime<1.24' 'numpy<2'
packages="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

for backend in onnxruntime python; do
    "${VENV:-.venv}/bin/quadfollow" export models/follow-256.onnx --triton "$work/$backend" --triton-backend "$backend" --triton-device cpu
done

# pytriton puts backend and stub together when it starts; so does this.
cp -r "$packages/pytriton/tritonserver/backends" "$work/backends"
cp "$packages/pytriton/tritonserver/python_backend_stubs/$minor/triton_python_backend_stub" "$work/backends/python/"
chmod +x "$work/backends/python/triton_python_backend_stub"

grpc=18001
bin="$(dirname "$("$venv/bin/python" -c 'import sys; print(sys.executable)')")" # the backend looks for python3 in PATH
PATH="$bin:$PATH" LD_LIBRARY_PATH="$packages/nvidia_pytriton.libs" PYTHONPATH="$packages" \
    "$packages/pytriton/tritonserver/bin/tritonserver" --model-repository "$work/python" --backend-directory "$work/backends" \
    --grpc-port "$grpc" --allow-http false --allow-metrics false --log-verbose 0 >"$work/log" 2>&1 &
server=$!
"$venv/bin/python" deploy/triton_check.py "$work/onnxruntime" "127.0.0.1:$grpc" models/follow-256.onnx || {
    grep -E "^E|rror" "$work/log" | head -n 20 >&2
    fail "see above"
}
say "passed"

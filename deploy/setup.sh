#!/usr/bin/env bash
# Makes the virtual environment of a checkout. Run by `make setup`; PYTHON and VENV say with what and where.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
venv="${VENV:-.venv}"

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

version_of() { "$1" -c 'import platform; print(platform.python_version())'; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_pip() { "$1" -m pip --version >/dev/null 2>&1; }

command -v "$python" >/dev/null || fail "there is no $python: install Python 3.11 or newer, or name one: make setup PYTHON=python3.12"
new_enough "$python" || fail "quadfollow needs Python 3.11 or newer, and $python is $(version_of "$python"):" \
    "install one, or name one that is there: make setup PYTHON=python3.12"

has_library() { [[ $(uname) != Linux ]] || { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -F "$1 " >/dev/null; }

# What opencv-python's wheel and the city's pictures expect of the system, and what Debian leaves out of its python3.
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("$(basename "$(readlink -f "$(command -v "$python")")")-venv")
has_library libGL.so.1 || missing+=(libgl1)
has_library libgthread-2.0.so.0 || missing+=(libglib2.0-0)
has_library libEGL.so.1 || missing+=(libegl1)
has_library libEGL_mesa.so.0 || missing+=(libegl-mesa0 libgl1-mesa-dri)
if ((${#missing[@]})); then
    command -v apt-get >/dev/null || fail "the system lacks ${missing[*]} (Debian's names): install them and run make setup again"
    if [[ $(id -u) != 0 ]]; then
        fail "the system lacks ${missing[*]}; please run" "" "    sudo apt-get install --yes ${missing[*]}" "" "and then make setup again"
    fi
    echo "setup: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "${missing[@]}"
fi

# An environment whose making was interrupted may have a Python and no pip. What is no environment is not to be emptied.
if ! { new_enough "$venv/bin/python" && has_pip "$venv/bin/python"; }; then
    [[ ! -e $venv || -e $venv/pyvenv.cfg || -e $venv/bin/python || -z $(ls -A "$venv") ]] ||
        fail "$venv is there and is no virtual environment: name a folder that is not there yet, or an empty one"
    "$python" -m venv --clear "$venv"
elif [[ -n ${PYTHON:-} && $(version_of "$venv/bin/python") != "$(version_of "$python")" ]]; then
    fail "$venv is there with Python $(version_of "$venv/bin/python"), and $python is $(version_of "$python"):" \
        "remove it first (make clean), or name another folder: make setup PYTHON=$python VENV=.venv-other"
fi
echo "setup: installing into $venv; the first time this downloads about 1.5 GB"
"$venv/bin/python" -m pip install --quiet --progress-bar off --constraint constraints.txt --editable '.[dev]'
"$venv/bin/python" -c 'import cv2, onnxruntime' || fail "OpenCV or onnxruntime cannot be loaded, see above"
echo "setup: ready; try $venv/bin/quadfollow --help, or make demo"

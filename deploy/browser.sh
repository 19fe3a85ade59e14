#!/usr/bin/env bash
# Finds the Chromium that the live view's tests look through, or installs Debian's. Run by `make test-slow`; where
# there is none and it cannot be installed, those tests are skipped and say so.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
if [[ $(id -u) != 0 ]] || ! grep -qs '^ID=debian' /etc/os-release; then
    echo "browser: no Chromium here, so the live view's tests will be skipped; as root: apt-get install chromium (Debian)," \
        "or .venv/bin/playwright install --with-deps chromium"
    exit 0
fi
echo "browser: installing Chromium"
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends chromium >/dev/null; }; then
    echo "browser: Chromium cannot be installed, see above, so the live view's tests will be skipped"
fi

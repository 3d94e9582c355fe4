#!/usr/bin/env bash
# Changes the source in small ways and looks whether a test notices: see tests/mutation/mutate.py.
# The copy that is changed and built stands in build/mutate; the tree itself stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in cmake ctest git python3; do
    if ! command -v "$tool" >/dev/null; then
        printf 'mutate.sh: %s is needed\n' "$tool" >&2
        exit 2
    fi
done
exec python3 -B tests/mutation/mutate.py "$@"

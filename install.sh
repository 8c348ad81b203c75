#!/bin/sh
# Makes the Python environment in .venv: packages by the hashes of requirements.txt, and bdemo from this tree.
# uv, which installs them, comes by its hash too, from pip. What is there already is not fetched again.
set -eu
cd "$(dirname "$0")"

pinned=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' compose/uv.txt)
case "$(.uv/bin/uv --version 2>/dev/null)" in
"uv $pinned"*) ;;
*) python3 -m pip install --quiet --root-user-action ignore --require-hashes --upgrade --target .uv -r compose/uv.txt ;;
esac

[ -x .venv/bin/python ] || .uv/bin/uv venv --quiet
.uv/bin/uv pip install --quiet --python .venv --require-hashes -r requirements.txt
.uv/bin/uv pip install --quiet --python .venv --no-deps --no-build-isolation -e .

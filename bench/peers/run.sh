#!/usr/bin/env bash
# Measures Danlu beside PyTorch on this machine and prints one table.
#
#   bench/peers/run.sh                              # every shape and precision, three rounds
#   bench/peers/run.sh --shapes w1 --rounds 1       # any option of compare.py
#
# Makes bench/peers/.venv with the pinned versions when it is absent (some GB; torch.compile needs a
# C++ compiler too). PEERS_PYTHON=/path/to/python uses an existing one instead.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PEERS_PYTHON:-bench/peers/.venv/bin/python}
if [[ -z ${PEERS_PYTHON:-} && ! -x $python ]]; then
    python3 -m venv bench/peers/.venv
    "$python" -m pip install --quiet --requirement bench/peers/requirements.txt
fi
cargo build --release --quiet
exec python3 bench/peers/compare.py --python "$python" "$@"

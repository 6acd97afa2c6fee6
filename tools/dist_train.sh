#!/usr/bin/env bash
# Train with several processes on one or more nodes.
#
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# GPUS is the number of processes on each node; without a GPU they run on the CPU.
# Several nodes: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail

if (($# < 2)); then
    echo "Usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$tools/dist_launch.sh" "$gpus" \
    "$tools/train.py" "$config" --launcher pytorch "$@"

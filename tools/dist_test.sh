#!/usr/bin/env bash
# Test a checkpoint, or all steps of a stream, with several processes.
#
#   tools/dist_test.sh CONFIG CHECKPOINT|WORK_DIR GPUS [arguments of tools/test.py]
#
# GPUS is the number of processes on each node; without a GPU they run on the CPU.
# Several nodes: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail

if (($# < 3)); then
    echo "Usage: $0 CONFIG CHECKPOINT|WORK_DIR GPUS [arguments of tools/test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$tools/dist_launch.sh" "$gpus" \
    "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"

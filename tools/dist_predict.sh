#!/usr/bin/env bash
# Look at images with several processes, which share them out.
#
#   tools/dist_predict.sh MODEL GPUS INPUT... --out DIR [arguments of mmdefect predict]
#
# GPUS is the number of processes on each node; without a GPU they run on the CPU. Each
# writes results of its own into DIR; when all are done they become one, in the order of
# the images. The same command goes on where it was stopped. Several nodes, which need to
# share DIR: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail

if (($# < 3)); then
    echo "Usage: $0 MODEL GPUS INPUT... --out DIR [arguments of mmdefect predict]" >&2
    exit 2
fi
model=$1
gpus=$2
shift 2

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$tools/dist_launch.sh" "$gpus" \
    --module mmdefect predict "$model" --launcher pytorch "$@"

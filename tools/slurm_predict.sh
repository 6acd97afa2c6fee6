#!/usr/bin/env bash
# Look at images as a Slurm job, whose processes share them out; see slurm_launch.sh for
# what it reads from the environment.
#
#   tools/slurm_predict.sh PARTITION JOB MODEL INPUT... --out DIR [arguments of mmdefect predict]
set -euo pipefail

if (($# < 4)); then
    echo "Usage: $0 PARTITION JOB MODEL INPUT... --out DIR [arguments of mmdefect predict]" >&2
    exit 2
fi
partition=$1
job=$2
model=$3
shift 3

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$tools/slurm_launch.sh" "$partition" "$job" \
    -m mmdefect predict "$model" --launcher slurm "$@"

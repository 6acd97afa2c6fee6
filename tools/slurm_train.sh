#!/usr/bin/env bash
# Train as a Slurm job; see slurm_launch.sh for what it reads from the environment.
#
#   tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]
set -euo pipefail

if (($# < 4)); then
    echo "Usage: $0 PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
work_dir=$4
shift 4

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$tools/slurm_launch.sh" "$partition" "$job" \
    "$tools/train.py" "$config" --work-dir "$work_dir" --launcher slurm "$@"

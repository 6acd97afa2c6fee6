#!/usr/bin/env bash
# Test a checkpoint, or all steps of a stream, as a Slurm job; see slurm_launch.sh for
# what it reads from the environment.
#
#   tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT|WORK_DIR [arguments of test.py]
set -euo pipefail

if (($# < 4)); then
    echo "Usage: $0 PARTITION JOB CONFIG CHECKPOINT|WORK_DIR [arguments of test.py]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
checkpoint=$4
shift 4

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$tools/slurm_launch.sh" "$partition" "$job" \
    "$tools/test.py" "$config" "$checkpoint" --launcher slurm "$@"

#!/usr/bin/env bash
# Start a script as a Slurm job; what slurm_train.sh and slurm_test.sh share.
#
#   tools/slurm_launch.sh PARTITION JOB SCRIPT [arguments of the script]
#
# From the environment: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS,
# more options of srun.
set -euo pipefail

if (($# < 3)); then
    echo "Usage: $0 PARTITION JOB SCRIPT [arguments of the script]" >&2
    exit 2
fi
partition=$1
job=$2
shift 2

# shellcheck source=tools/whole_number.sh
source "$(dirname "${BASH_SOURCE[0]}")/whole_number.sh"
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
whole GPUS "$gpus" 1 'a number of processes'
whole GPUS_PER_NODE "$per_node" 1 'a number of processes on each node'
whole CPUS_PER_TASK "${CPUS_PER_TASK:-5}" 1 'a number of cores for each process'
per_node=$((gpus < per_node ? gpus : per_node))
read -r -a more <<<"${SRUN_ARGS:-}"

exec srun \
    --partition "$partition" \
    --job-name "$job" \
    --gres "gpu:$per_node" \
    --ntasks "$gpus" \
    --ntasks-per-node "$per_node" \
    --cpus-per-task "${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    "${more[@]}" \
    python -u "$@"

#!/usr/bin/env bash
# Start a script in several processes; what dist_train.sh and dist_test.sh share.
#
#   tools/dist_launch.sh GPUS SCRIPT [arguments of the script]
#
# From the environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (a free
# one), OMP_NUM_THREADS (the cores of this node, shared out evenly), and the MALLOC_*
# below.
set -euo pipefail

if (($# < 2)); then
    echo "Usage: $0 GPUS SCRIPT [arguments of the script]" >&2
    exit 2
fi
gpus=$1
shift

# shellcheck source=tools/whole_number.sh
source "$(dirname "${BASH_SOURCE[0]}")/whole_number.sh"
nodes=${NNODES:-1}
whole GPUS "$gpus" 1 'a number of processes'
whole NNODES "$nodes" 1 'a number of nodes'
whole NODE_RANK "${NODE_RANK:-0}" 0 'the number of this node'
if [[ -n ${PORT:-} ]]; then
    whole PORT "$PORT" 1 'a free port'
fi
if ((nodes > 1)) && [[ -z ${PORT:-} ]]; then
    echo "NNODES=$nodes: expected a port that all nodes agree on; set PORT" >&2
    exit 2
fi
if ((nodes > 1)) && [[ -z ${MASTER_ADDR:-} ]]; then
    echo "NNODES=$nodes: expected the address of the first node; set MASTER_ADDR" >&2
    exit 2
fi

# An environment that was not activated still holds the right torchrun.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v torchrun >/dev/null && [[ -x $root/.venv/bin/torchrun ]]; then
    PATH=$root/.venv/bin:$PATH
fi

free_port='import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
port=${PORT:-$(python3 -c "$free_port")}

# Left to itself, torchrun gives every process a single thread.
if [[ -z ${OMP_NUM_THREADS:-} ]]; then
    threads=$(($(nproc) / gpus))
    export OMP_NUM_THREADS=$((threads > 0 ? threads : 1))
fi

# glibc hands large blocks back to the kernel and asks for them anew, every iteration: on a
# CPU a good part of the time of a training. Kept, it is a little more memory.
export MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_:-0}
export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-100000000000}
export MALLOC_TOP_PAD_=${MALLOC_TOP_PAD_:-67108864}

# torchrun, but for the end: the error of the process that failed is said once, and last.
exec python3 -m mmdefect.utils.launch \
    --nnodes "$nodes" \
    --node_rank "${NODE_RANK:-0}" \
    --nproc_per_node "$gpus" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" \
    --master_port "$port" \
    "$@"

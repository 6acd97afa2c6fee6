#!/usr/bin/env bash
# What dist_launch.sh and slurm_launch.sh share; sourced by them.
set -euo pipefail

# Before a number is used: arithmetic would run a command that stands in one.
whole() { # NAME VALUE LEAST WHAT
    if [[ ! $2 =~ ^(0|[1-9][0-9]{0,8})$ ]] || (($2 < $3)); then
        echo "$1=$2: expected $4, $3 or more" >&2
        exit 2
    fi
}

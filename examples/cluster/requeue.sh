#!/usr/bin/env bash
# Runs a command in a job of SLURM, which may end the job at any moment.
#
#   requeue.sh COMMAND [ARGUMENT ...]
#
# The command gets SIGTERM; deltanet then keeps what is finished and ends with status 143.
# SIGUSR1, sent to this script shortly before the time limit (#SBATCH --signal=B:USR1@60), also puts the job back
# into the queue. SIGTERM does not: a job that was cancelled stays so, and one that had to make room is put back
# by SLURM itself (#SBATCH --requeue).
set -u

again='' caught=''
"$@" &
command=$!
trap 'caught=yes again=yes; kill -TERM "$command"' USR1
trap 'caught=yes; kill -TERM "$command"' TERM
wait "$command"
status=$?
while [ -n "$caught" ]; do # a signal has ended `wait`, and not yet the command
    caught=''
    wait "$command"
    status=$?
done
if [ -n "$again" ] && [ "$status" -eq 143 ]; then
    job=$SLURM_JOB_ID
    [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    scontrol requeue "$job"
fi
exit "$status"

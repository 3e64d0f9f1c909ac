#!/usr/bin/env bash
# The Gauss-Newton matrix over all designs as one job of SLURM, with a process on each of its cores:
#
#   cd cluster-data && sbatch ../examples/cluster/sum_job.sh
#
#SBATCH --job-name=ggn
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=8G
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu

SCRIPTS=${SCRIPTS:-$SLURM_SUBMIT_DIR/../examples/cluster} # SLURM runs a copy of this file, from elsewhere

exec bash "$SCRIPTS/requeue.sh" deltanet ggn surrogate.npz designs-*.npy -o ggn.npy --resume \
    --workers "$SLURM_CPUS_PER_TASK"

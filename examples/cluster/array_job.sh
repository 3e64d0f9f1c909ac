#!/usr/bin/env bash
# The sensitivities of all designs as an array of jobs of SLURM, each of which writes one part of the store:
#
#   cd cluster-data && sbatch ../examples/cluster/array_job.sh
#
# The first job that runs makes the store, the others join it. Give the same line again for parts that have failed,
# `sbatch --array=3,7 ...`, or for all: a part that is finished is compared with the designs and left as it is.
#
#SBATCH --job-name=sensitivities
#SBATCH --array=0-15
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu

PARTS=${PARTS:-16} # not SLURM_ARRAY_TASK_COUNT, which counts the jobs of one sbatch: here they may be some of all
SCRIPTS=${SCRIPTS:-$SLURM_SUBMIT_DIR/../examples/cluster} # SLURM runs a copy of this file, from elsewhere

exec bash "$SCRIPTS/requeue.sh" deltanet jacobian surrogate.npz designs-*.npy --wrt inputs -o sensitivities.zarr \
    --rows 100000 --part "$SLURM_ARRAY_TASK_ID/$PARTS" --threads "$SLURM_CPUS_PER_TASK"

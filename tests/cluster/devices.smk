# Two jobs with a device each: either tells which it was given, and ends once the other has told. Two more, with so many
# GPUs as their name says, tell whether they see that Slurm gave them any.
import sys


rule devices:
    input:
        "device1.txt",
        "device2.txt",
        "given0.txt",
        "given1.txt",


rule device:
    output:
        "device{number}.txt",
    resources:
        gpu=1,
        runtime=2,
    shell:
        "echo $CUDA_VISIBLE_DEVICES > device{wildcards.number}.told;"
        " timeout 60 sh -c 'until [ -s device1.told ] && [ -s device2.told ]; do sleep 0.1; done';"
        " cp device{wildcards.number}.told {output}"


rule given:
    output:
        "given{gpus}.txt",
    resources:
        gpu=lambda wildcards: int(wildcards.gpus),
        runtime=2,
    shell:
        "PYTHONPATH={workflow.basedir}/../../src {sys.executable} -c"
        " 'from memorization.training.slots import slurm_gave_gpus as given; print(given())' > {output}"

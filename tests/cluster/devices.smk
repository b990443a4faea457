# Two jobs with a device each: either tells which it was given, and ends once the other has told.
rule devices:
    input:
        "device1.txt",
        "device2.txt",


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

# One training per run, however many tables share it.


rule train:
    input:
        packed=lambda wildcards: packed_meta((run_of(wildcards).train, *run_of(wildcards).sources)),
        initial=initial_of,
        # Training and test sets that overlap are refused here. `ancient`: another test set does not
        # repeat the training. (If packed sets changed behind Snakemake's back, it checks their
        # splits first and notices in its next run that the training is older than they are.)
        splits=lambda wildcards: ancient(split_lists(wildcards)),
    output:
        config=f"{R}/runs/{{run}}/config.json",
        weights=f"{R}/runs/{{run}}/model.safetensors",
        history=f"{R}/runs/{{run}}/log.jsonl",
        summary=f"{R}/runs/{{run}}/train.json",
    log:
        f"{R}/logs/train/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{run}}.jsonl"
    retries: TRAIN_RETRIES
    conda:
        "../../envs/ssl_ood.yaml"
    threads: lambda wildcards: EXECUTION["threads"]["train"] * devices_of(run_of(wildcards))
    resources:
        nodes=1,
        gpu=lambda wildcards: run_of(wildcards).devices(EXECUTION["devices"]),
        mem_mb=lambda wildcards, attempt: (
            grown(EXECUTION["memory_mb"]["train"], attempt) * devices_of(run_of(wildcards))
        ),
        runtime=minutes_to_train,
        slurm_extra=f"--signal=TERM@{STOP_SECONDS} --open-mode=append",
    params:
        version=lambda wildcards: run_of(wildcards).settings.code,
        data=DATA,
        checkpoints=f"{R}/checkpoints/{{run}}",
        progress=f"{R}/progress/{{run}}.json",
        initial=lambda wildcards, input: ["--initial", input.initial] if input.initial else [],
        folder=lambda wildcards, output: Path(output.weights).parent,
        # In one order, whatever file of the config a setting comes from: else it counts as changed.
        config=lambda wildcards: json.dumps(
            run_of(wildcards).training_config, indent=1, sort_keys=True
        ),
    # The trap keeps the shell alive while a training that was told to stop writes its checkpoint.
    shell:
        "printf '%s\n' {params.config:q} > {output.config:q}; trap : TERM;"
        " python -m ssl_ood train --config {output.config:q} --data {params.data:q}"
        " --output {params.folder:q} --checkpoints {params.checkpoints:q} {params.initial:q}"
        " --progress {params.progress:q} --devices {resources.gpu} --threads {threads} 2> {log:q}"

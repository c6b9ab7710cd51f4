# One training a run, whatever tables share it.


rule write_run_config:
    output:
        f"{R}/runs/{{run}}/config.json",
    params:
        config=lambda wildcards: json.dumps(run_of(wildcards).training_config, indent=1),
    localrule: True
    log:
        f"{R}/logs/write_run_config/{{run}}.log",
    shell:
        "printf '%s\n' {params.config:q} > {output} 2> {log}"


LAUNCHER = "python"
if EXECUTION["devices"] > 1:
    LAUNCHER = f"torchrun --standalone --nproc-per-node {EXECUTION['devices']}"


def minutes_to_train(wildcards, attempt):
    """Time limit of a training: from the measured speed, twice as long at every new attempt."""
    run = run_of(wildcards)
    training = run.settings["training"]
    images = EXPERIMENTS.count(run.train) * training["epochs"]
    speed = EXECUTION["images_per_second"] * max(EXECUTION["devices"], 1)
    return int(30 + 1.5 * images / speed / 60) * 2 ** (attempt - 1)


rule train:
    input:
        config=f"{R}/runs/{{run}}/config.json",
        packed=lambda wildcards: packed_meta(
            (run_of(wildcards).train, *run_of(wildcards).sources)
        ),
    output:
        weights=f"{R}/runs/{{run}}/teacher.safetensors",
        history=f"{R}/runs/{{run}}/log.jsonl",
        summary=f"{R}/runs/{{run}}/train.json",
    params:
        checkpoints=f"{R}/checkpoints/{{run}}",
        progress=f"{R}/progress/{{run}}.json",
    log:
        f"{R}/logs/train/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{run}}.jsonl"
    retries: 2
    threads: EXECUTION["threads"]["train"]
    resources:
        gpu=EXECUTION["devices"],
        mem_mb=lambda wildcards, attempt: EXECUTION["memory_mb"]["train"] * attempt,
        runtime=minutes_to_train,
    # What is in capitals stands in no parameter: another interval or micro-batch trains nothing
    # again.
    shell:
        "{LAUNCHER} -m ssl_ood train --config {input.config} --data {DATA:q}"
        " --output $(dirname {output.weights}) --checkpoints {params.checkpoints}"
        " --progress {params.progress} --checkpoint-minutes {EXECUTION[checkpoint_minutes]}"
        " --micro-batch {EXECUTION[micro_batch]} --threads {threads} 2> {log}"

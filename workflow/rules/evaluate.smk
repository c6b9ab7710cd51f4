# Evaluates a trained run in one job: features of its sets, set by set, then the scores of every image
# and the measurements. A set that has not changed is not extracted again, so features are no outputs
# of the rule: Snakemake deletes those before it runs it again.


rule evaluate:
    input:
        weights=f"{R}/runs/{{run}}/model.safetensors",
        summary=f"{R}/runs/{{run}}/train.json",  # proves the weights; the stage finds it beside them
        packed=lambda wildcards: packed_meta(
            (
                run_of(wildcards).train,
                run_of(wildcards).test,
                *GAPS.there(run_of(wildcards).tested),
                *calibration_of(run_of(wildcards)),
            )
        ),
        # Another calibration set trains nothing again, so its proof is wanted here.
        splits=lambda wildcards: ancient(calibration_lists(wildcards)),
    output:
        config=f"{R}/evaluation/{{run}}.json",
        scores=f"{R}/scores/{{run}}.parquet",
        measurements=f"{R}/measurements/{{run}}.parquet",
    log:
        f"{R}/logs/evaluate/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate/{{run}}.jsonl"
    conda:
        "../../envs/ssl_ood.yaml"
    threads: EXECUTION["threads"]["evaluate"]
    resources:
        nodes=1,
        gpu=min(EXECUTION["devices"], 1),
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["evaluate"], attempt),
        runtime=lambda wildcards, attempt: time_limit(90 * attempt),
    params:
        version=lambda wildcards: [
            VERSIONS["features"],
            VERSIONS["evaluate"],
            lookup("method", run_of(wildcards).method).version,
        ],
        scores=lambda wildcards: {
            score: lookup("score", score).version for score in run_of(wildcards).evaluation.scores
        },
        data=DATA,
        features=f"{R}/features/{{run}}",
        config=lambda wildcards: json.dumps(
            GAPS.evaluation_config(run_of(wildcards)), indent=1, sort_keys=True
        ),
    shell:
        "printf '%s\\n' {params.config:q} > {output.config:q} &&"
        " python -m ssl_ood evaluate --config {output.config:q} --weights {input.weights:q}"
        " --data {params.data:q} --features {params.features:q} --scores {output.scores:q}"
        " --output {output.measurements:q} --threads {threads} 2> {log:q}"


# What cues that need no learning tell of an in-distribution dataset and its OOD sets: no model.
rule shortcuts:
    input:
        packed=lambda wildcards: packed_meta(GAPS.there(EXPERIMENTS.pairs[wildcards.pairs].sets)),
    output:
        config=f"{R}/shortcuts/{{pairs}}.json",
        rows=f"{R}/shortcuts/{{pairs}}.parquet",
    log:
        f"{R}/logs/shortcuts/{{pairs}}.log",
    benchmark:
        f"{R}/benchmarks/shortcuts/{{pairs}}.jsonl"
    wildcard_constraints:
        pairs=alternatives(EXPERIMENTS.pairs.keys() - GAPS.brought.keys()) or NOTHING,
    conda:
        "../../envs/ssl_ood.yaml"
    threads: EXECUTION["threads"]["evaluate"]
    resources:
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["evaluate"], attempt),
        runtime=lambda wildcards, attempt: time_limit(120 * attempt),
    params:
        version=VERSIONS["shortcuts"],
        cues={entry.name: entry.version for entry in entries("cue")},
        data=DATA,
        config=lambda wildcards: json.dumps(
            GAPS.shortcuts_config(EXPERIMENTS.pairs[wildcards.pairs]), indent=1, sort_keys=True
        ),
    shell:
        "printf '%s\\n' {params.config:q} > {output.config:q} &&"
        " python -m ssl_ood shortcuts --config {output.config:q} --data {params.data:q}"
        " --output {output.rows:q} --threads {threads} 2> {log:q}"

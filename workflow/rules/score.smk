# Scores of every image, then the metrics of a run: AUROC, sensitivity, k-NN, soft-classes. Features
# and scores of a run are one job of a cluster: each alone would wait longer than it runs.


rule write_evaluation_config:
    output:
        f"{R}/evaluation/{{run}}.json",
    log:
        f"{R}/logs/write_evaluation_config/{{run}}.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        config=lambda wildcards: json.dumps(
            EXPERIMENTS.evaluation_config(run_of(wildcards)), indent=1, sort_keys=True
        ),
    shell:
        "printf '%s\n' {params.config:q} > {output:q} 2> {log:q}"


rule score:
    input:
        config=f"{R}/evaluation/{{run}}.json",
        features=f"{R}/features/{{run}}/index.json",
    output:
        f"{R}/scores/{{run}}.parquet",
    log:
        f"{R}/logs/score/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{run}}.jsonl"
    group:
        "evaluate"
    conda:
        "../../envs/ssl_ood.yaml"
    threads: EXECUTION["threads"]["features"]
    resources:
        nodes=1,
        gpu=min(EXECUTION["devices"], 1),
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["score"], attempt),
        runtime=lambda wildcards, attempt: time_limit(60 * attempt),
    params:
        version=VERSIONS["score"],
    shell:
        "python -m ssl_ood score --config {input.config:q} --features {input.features:q}"
        " --output {output:q} --threads {threads} 2> {log:q}"


rule metrics:
    input:
        config=f"{R}/evaluation/{{run}}.json",
        soft_classes=f"{R}/features/{{run}}/soft_classes.json",
        scores=f"{R}/scores/{{run}}.parquet",
    output:
        f"{R}/metrics/{{run}}.csv",
    log:
        f"{R}/logs/metrics/{{run}}.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["metrics"],
    shell:
        "python -m ssl_ood metrics --config {input.config:q} --scores {input.scores:q}"
        " --soft-classes {input.soft_classes:q} --output {output:q} 2> {log:q}"

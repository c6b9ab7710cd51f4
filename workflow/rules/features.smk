# Features of the train, test and OOD sets: one job a run; a set that has not changed is kept.


rule extract_features:
    input:
        config=f"{R}/runs/{{run}}/config.json",
        weights=f"{R}/runs/{{run}}/model.safetensors",
        packed=lambda wildcards: packed_meta(
            (run_of(wildcards).train, run_of(wildcards).test, *run_of(wildcards).ood)
        ),
    output:
        index=f"{R}/features/{{run}}/index.json",
        soft_classes=f"{R}/features/{{run}}/soft_classes.json",
        probabilities=f"{R}/features/{{run}}/soft_classes.npy",
    log:
        f"{R}/logs/extract_features/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/extract_features/{{run}}.jsonl"
    group:
        "evaluate"
    conda:
        "../../envs/ssl_ood.yaml"
    threads: EXECUTION["threads"]["features"]
    resources:
        nodes=1,
        gpu=min(EXECUTION["devices"], 1),
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["features"], attempt),
        runtime=lambda wildcards, attempt: time_limit(60 * attempt),
    params:
        version=VERSIONS["features"],
        data=DATA,
        ood=lambda wildcards: [f"{s.dataset}/{s.split}" for s in run_of(wildcards).ood],
        precision=lambda wildcards: run_of(wildcards).evaluation["precision"],
    shell:
        "python -m ssl_ood features --config {input.config:q} --weights {input.weights:q}"
        " --data {params.data:q} --ood {params.ood:q} --output {output.index:q}"
        " --precision {params.precision:q} --threads {threads} 2> {log:q}"

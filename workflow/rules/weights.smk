# Published pre-trained weights: fetched as archives of datasets are, then the backbone alone.
wildcard_constraints:
    weights=alternatives(WEIGHTS),


rule fetch_weights:
    output:
        f"{R}/archives/{{weights}}.json",
    log:
        f"{R}/logs/fetch_weights/{{weights}}.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        entry=lambda wildcards: json.dumps(
            WEIGHTS[wildcards.weights].to_dict()["archives"], sort_keys=True
        ),
        downloads=lambda wildcards: CONFIG["downloads_dir"],
    shell:
        "python -m ssl_ood fetch {wildcards.weights:q} --downloads {params.downloads:q}"
        " --manifest {output:q} 2> {log:q}"


rule convert_weights:
    input:
        manifest=f"{R}/archives/{{weights}}.json",
    output:
        f"{R}/weights/{{weights}}.safetensors",
    log:
        f"{R}/logs/convert_weights/{{weights}}.log",
    conda:
        "../../envs/ssl_ood.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["pack"], attempt),
        runtime=lambda wildcards, attempt: time_limit(30 * attempt),
    params:
        version=VERSIONS["weights"],
        entry=lambda wildcards: json.dumps(WEIGHTS[wildcards.weights].to_dict(), sort_keys=True),
    shell:
        "python -m ssl_ood weights {wildcards.weights:q} --manifest {input.manifest:q}"
        " --output {output:q} 2> {log:q}"

# Source archives to packed sets: uint8 arrays at the in-distribution size.


rule fetch_dataset:
    output:
        f"{R}/archives/{{dataset}}.json",
    log:
        f"{R}/logs/fetch_dataset/{{dataset}}.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        # The archives and where they come from: an edit of the entry fetches again, as does a
        # change of what lies on this disk.
        entry=lambda wildcards: json.dumps(
            EXPERIMENTS.datasets[wildcards.dataset].to_dict()["archives"]
            + state_of(EXPERIMENTS.datasets[wildcards.dataset]),
            sort_keys=True,
        ),
        downloads=lambda wildcards: CONFIG["downloads_dir"],
        optional=lambda wildcards: ["--optional"] if needs_optional(wildcards.dataset) else [],
    shell:
        "python -m ssl_ood fetch {wildcards.dataset:q} --downloads {params.downloads:q}"
        " --manifest {output:q} {params.optional:q} 2> {log:q}"


rule pack_dataset:
    input:
        manifest=lambda wildcards: (
            f"{R}/archives/{EXPERIMENTS.datasets[wildcards.dataset].store}.json"
        ),
    output:
        images=f"{DATA}/{{dataset}}/{{split}}-{{size}}px{{fit}}/images.npy",
        labels=f"{DATA}/{{dataset}}/{{split}}-{{size}}px{{fit}}/labels.npy",
        files=f"{DATA}/{{dataset}}/{{split}}-{{size}}px{{fit}}/files.txt",
        meta=f"{DATA}/{{dataset}}/{{split}}-{{size}}px{{fit}}/meta.json",
    log:
        f"{R}/logs/pack_dataset/{{dataset}}-{{split}}-{{size}}px{{fit}}.log",
    benchmark:
        f"{R}/benchmarks/pack_dataset/{{dataset}}-{{split}}-{{size}}px{{fit}}.jsonl"
    conda:
        "../../envs/ssl_ood.yaml"
    threads: EXECUTION["threads"]["pack"]
    resources:
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["pack"], attempt),
        runtime=lambda wildcards, attempt: time_limit(600 * attempt),
    params:
        version=VERSIONS["pack"],
        entry=lambda wildcards: json.dumps(
            EXPERIMENTS.datasets[wildcards.dataset].to_dict(), sort_keys=True
        ),
        corrupt=CONFIG["max_corrupt_share"],
        folder=lambda wildcards, output: Path(output.meta).parent,
        fit=fit_of,
    shell:
        "python -m ssl_ood pack {wildcards.dataset:q}"
        " --split {wildcards.split:q} --size {wildcards.size:q} --fit {params.fit:q} --manifest {input.manifest:q}"
        " --output {params.folder:q} --workers {threads}"
        " --max-corrupt-share {params.corrupt:q} 2> {log:q}"


# Fails before the training if an image or a patient is in both the training and the test set. Both
# sets must come from the same archives.
rule write_split:
    input:
        train=f"{DATA}/{{dataset}}/{{split}}-{{size}}px{{fit}}/meta.json",
        test=f"{DATA}/{{test_dataset}}/{{test_split}}-{{size}}px{{fit}}/meta.json",
    output:
        f"{R}/splits/{{dataset}}-{{split}}/{{test_dataset}}-{{test_split}}-{{size}}px{{fit}}.json",
    log:
        f"{R}/logs/write_split/{{dataset}}-{{split}}-{{test_dataset}}-{{test_split}}-{{size}}px{{fit}}.log",
    wildcard_constraints:
        test_dataset=alternatives(EXPERIMENTS.datasets),
        test_split="[a-z0-9_]+",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["splits"],
        data=lambda wildcards, input: Path(input.train).parents[2],
        fit=fit_of,
        # How a name tells the patient.
        group=lambda wildcards: EXPERIMENTS.datasets[wildcards.dataset].group,
    shell:
        "python -m ssl_ood splits --data {params.data:q} --size {wildcards.size:q}"
        " --fit {params.fit:q} --train {wildcards.dataset:q}/{wildcards.split:q}"
        " --test {wildcards.test_dataset:q}/{wildcards.test_split:q} --output {output:q} 2> {log:q}"


rule datasets:
    input:
        [
            f"{R}/archives/{dataset.store}.json"
            for dataset in EXPERIMENTS.datasets.values()
            if dataset.free
        ],

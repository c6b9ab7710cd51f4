# Source archives to packed sets: uint8 arrays at the in-distribution size.


rule fetch_dataset:
    output:
        f"{R}/archives/{{dataset}}.json",
    params:
        # The archives and where they come from: an edit of the entry fetches again.
        entry=lambda wildcards: json.dumps(
            EXPERIMENTS.datasets[wildcards.dataset].to_dict()["archives"], sort_keys=True
        ),
    localrule: True
    log:
        f"{R}/logs/fetch_dataset/{{dataset}}.log",
    shell:
        "python -m ssl_ood fetch {wildcards.dataset} --catalogue {CATALOGUE:q}"
        " --downloads {CONFIG[downloads_dir]:q} --archive-dirs {CONFIG[archive_dirs]:q}"
        " --manifest {output} 2> {log}"


rule pack_dataset:
    input:
        manifest=lambda wildcards: (
            f"{R}/archives/{EXPERIMENTS.datasets[wildcards.dataset].store}.json"
        ),
    output:
        images=f"{DATA}/{{dataset}}/{{split}}-{{size}}px/images.npy",
        labels=f"{DATA}/{{dataset}}/{{split}}-{{size}}px/labels.npy",
        files=f"{DATA}/{{dataset}}/{{split}}-{{size}}px/files.txt",
        meta=f"{DATA}/{{dataset}}/{{split}}-{{size}}px/meta.json",
    params:
        entry=lambda wildcards: json.dumps(
            EXPERIMENTS.datasets[wildcards.dataset].to_dict(), sort_keys=True
        ),
    log:
        f"{R}/logs/pack_dataset/{{dataset}}-{{split}}-{{size}}px.log",
    benchmark:
        f"{R}/benchmarks/pack_dataset/{{dataset}}-{{split}}-{{size}}px.jsonl"
    threads: EXECUTION["threads"]["pack"]
    resources:
        mem_mb=lambda wildcards, attempt: EXECUTION["memory_mb"]["pack"] * attempt,
        runtime=lambda wildcards, attempt: 600 * attempt,
    shell:
        "python -m ssl_ood pack {wildcards.dataset} --catalogue {CATALOGUE:q}"
        " --split {wildcards.split} --size {wildcards.size} --manifest {input.manifest}"
        " --output $(dirname {output.meta}) --workers {threads} 2> {log}"


rule datasets:
    input:
        [
            f"{R}/archives/{dataset.store}.json"
            for dataset in EXPERIMENTS.datasets.values()
            if dataset.free
        ],

# Negative sets: what a strategy draws from, with a contact sheet and a check for leaks.


rule build_negatives:
    input:
        lambda wildcards: packed_meta(
            s
            for s in GAPS.there(experiments.needed_sets(negative_run(wildcards)))
            if not s.own_size and s not in calibration_of(negative_run(wildcards))
        ),
    output:
        config=f"{R}/negatives/{{study}}-{{in_distribution}}-{{strategy}}/config.json",
        manifest=f"{R}/negatives/{{study}}-{{in_distribution}}-{{strategy}}/manifest.json",
        sheet=report(
            f"{R}/negatives/{{study}}-{{in_distribution}}-{{strategy}}/contact_sheet.png",
            category="Negative sets",
            labels={"in-distribution": "{in_distribution}", "strategy": "{strategy}"},
            caption="../report/negatives.rst",
        ),
    log:
        f"{R}/logs/build_negatives/{{study}}-{{in_distribution}}-{{strategy}}.log",
    conda:
        "../../envs/ssl_ood.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: grown(EXECUTION["memory_mb"]["pack"], attempt),
        runtime=lambda wildcards, attempt: time_limit(120 * attempt),
    params:
        version=VERSIONS["negatives"],
        config=lambda wildcards: json.dumps(
            negative_run(wildcards).training_config, indent=1, sort_keys=True
        ),
        folder=lambda wildcards, output: Path(output.manifest).parent,
        data=DATA,
        against=lambda wildcards: [
            f"{s.dataset}/{s.split}"
            for s in GAPS.there((negative_run(wildcards).test, *negative_run(wildcards).tested))
            if not s.own_size  # compared at the size of the negatives
        ],
    shell:
        "printf '%s\n' {params.config:q} > {output.config:q} &&"
        " python -m ssl_ood negatives --config {output.config:q} --data {params.data:q}"
        " --against {params.against:q} --output {params.folder:q} 2> {log:q}"

# Negative sets: what a strategy draws from, with a contact sheet and a check for leaks.


rule build_negatives:
    input:
        config=lambda wildcards: f"{R}/runs/{negative_run(wildcards).id}/config.json",
        packed=lambda wildcards: packed_meta(experiments.needed_sets(negative_run(wildcards))),
    output:
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
        data=DATA,
        folder=lambda wildcards, output: Path(output.manifest).parent,
        against=lambda wildcards: [
            f"{s.dataset}/{s.split}"
            for s in (negative_run(wildcards).test, *negative_run(wildcards).ood)
        ],
    shell:
        "python -m ssl_ood negatives --config {input.config:q} --data {params.data:q}"
        " --against {params.against:q} --output {params.folder:q} 2> {log:q}"

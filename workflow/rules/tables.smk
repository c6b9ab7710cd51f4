# Tables: measured beside reported, as csv, markdown and LaTeX.


rule write_spec:
    output:
        f"{R}/specs/{{target}}.json",
    log:
        f"{R}/logs/write_spec/{{target}}.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        spec=lambda wildcards: json.dumps(EXPERIMENTS.spec(wildcards.target), indent=1),
    shell:
        "printf '%s\n' {params.spec:q} > {output:q} 2> {log:q}"


rule table:
    input:
        spec=f"{R}/specs/{{table}}.json",
        metrics=lambda wildcards: metrics_of(wildcards.table),
    output:
        csv=f"{R}/tables/{{table}}.csv",
        page=report(
            f"{R}/tables/{{table}}.html",
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
        markdown=f"{R}/tables/{{table}}.md",
        latex=f"{R}/tables/{{table}}.tex",
    log:
        f"{R}/logs/table/{{table}}.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["table"],
        prefix=lambda wildcards, output: Path(output.csv).with_suffix(""),
        reported=CONFIG["reported_dir"],
    shell:
        "python -m ssl_ood table {wildcards.table:q} --spec {input.spec:q}"
        " --metrics {input.metrics:q} --reported {params.reported:q} --output {params.prefix:q} 2> {log:q}"


for target in EXPERIMENTS.targets.values():

    # `snakemake figure_sensitivity`: a target of its own for every table and figure.
    rule:
        name:
            target.name
        input:
            file_of(target),
            checked_negatives(plan.runs_of([target])),
        localrule: True

# Tables: measured beside reported, as csv, markdown and LaTeX.


def metrics_of(wildcards):
    return [f"{R}/metrics/{run.id}.csv" for run in EXPERIMENTS.targets[wildcards.table].runs]


rule write_spec:
    output:
        f"{R}/specs/{{target}}.json",
    params:
        spec=lambda wildcards: json.dumps(EXPERIMENTS.spec(wildcards.target), indent=1),
    localrule: True
    log:
        f"{R}/logs/write_spec/{{target}}.log",
    shell:
        "printf '%s\n' {params.spec:q} > {output} 2> {log}"


rule table:
    input:
        spec=f"{R}/specs/{{table}}.json",
        metrics=metrics_of,
    output:
        csv=report(
            f"{R}/tables/{{table}}.csv",
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
        markdown=f"{R}/tables/{{table}}.md",
        latex=f"{R}/tables/{{table}}.tex",
    params:
        prefix=f"{R}/tables/{{table}}",
    localrule: True
    log:
        f"{R}/logs/table/{{table}}.log",
    shell:
        "python -m ssl_ood table {wildcards.table} --spec {input.spec} --metrics {input.metrics}"
        " --reported {CONFIG[reported_dir]:q} --output {params.prefix} 2> {log}"


for name in [t.name for t in EXPERIMENTS.targets.values()]:

    rule:
        name:
            name
        input:
            f"{R}/{EXPERIMENTS.targets[name].kind}s/{name}."
            + {"table": "csv", "figure": "png"}[EXPERIMENTS.targets[name].kind],
        localrule: True

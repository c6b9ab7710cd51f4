# Figures: pdf and png, with their data as csv. What a figure is made from follows from its form.


rule figure:
    input:
        measurements=lambda wildcards: (
            measurements_of(wildcards.figure)
            if "measurements" in needs_of(wildcards.figure)
            else []
        ),
        scores=lambda wildcards: (
            scores_of(wildcards.figure) if "scores" in needs_of(wildcards.figure) else []
        ),
        history=lambda wildcards: (
            history_of(wildcards.figure) if "history" in needs_of(wildcards.figure) else []
        ),
        packed=lambda wildcards: packed_meta(shown_sets(wildcards.figure)),
    output:
        png=report(
            f"{R}/figures/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        pdf=f"{R}/figures/{{figure}}.pdf",
        csv=f"{R}/figures/{{figure}}.csv",
        spec=f"{R}/specs/{{figure}}.json",
    log:
        f"{R}/logs/figure/{{figure}}.log",
    wildcard_constraints:
        figure=alternatives(CONFIG["figures"]),
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=lambda wildcards: version_of(wildcards.figure),
        data=DATA,
        prefix=lambda wildcards, output: Path(output.png).with_suffix(""),
        reported=lambda wildcards: CONFIG["reported_dir"],
        spec=lambda wildcards: json.dumps(GAPS.spec(wildcards.figure), indent=1),
        images=lambda wildcards: [
            f"{DATA}/{s.path}"
            for s in GAPS.there(EXPERIMENTS.targets[wildcards.figure].in_distribution)
        ],
    shell:
        "printf '%s\\n' {params.spec:q} > {output.spec:q} &&"
        " python -m ssl_ood figure --spec {output.spec:q} --measurements {input.measurements:q}"
        " --scores {input.scores:q} --history {input.history:q} --images {params.images:q} --data {params.data:q}"
        " --reported {params.reported:q} --output {params.prefix:q} 2> {log:q}"

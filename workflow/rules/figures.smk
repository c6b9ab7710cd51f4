# Figures: pdf and png, with their data as csv.


rule figure:
    input:
        spec=f"{R}/specs/{{figure}}.json",
        metrics=lambda wildcards: metrics_of(wildcards.figure),
    output:
        png=report(
            f"{R}/figures/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        pdf=f"{R}/figures/{{figure}}.pdf",
        csv=f"{R}/figures/{{figure}}.csv",
    log:
        f"{R}/logs/figure/{{figure}}.log",
    wildcard_constraints:
        figure="figure_(sensitivity|occupied_soft_classes|label_efficiency|negative_sources)",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["figure"],
        prefix=lambda wildcards, output: Path(output.png).with_suffix(""),
        reported=CONFIG["reported_dir"],
    shell:
        "python -m ssl_ood figure {wildcards.figure:q} --spec {input.spec:q}"
        " --metrics {input.metrics:q} --reported {params.reported:q} --output {params.prefix:q} 2> {log:q}"


# The scores of every image, not their metrics.
rule score_figure:
    input:
        spec=f"{R}/specs/{{figure}}.json",
        scores=lambda wildcards: scores_of(wildcards.figure),
        metrics=lambda wildcards: metrics_of(wildcards.figure),
    output:
        png=report(
            f"{R}/figures/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        pdf=f"{R}/figures/{{figure}}.pdf",
        csv=f"{R}/figures/{{figure}}.csv",
    log:
        f"{R}/logs/score_figure/{{figure}}.log",
    wildcard_constraints:
        figure="figure_score_distributions",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["figure"],
        prefix=lambda wildcards, output: Path(output.png).with_suffix(""),
    shell:
        "python -m ssl_ood figure {wildcards.figure:q} --spec {input.spec:q}"
        " --scores {input.scores:q} --metrics {input.metrics:q} --output {params.prefix:q} 2> {log:q}"


# Pictures show images and train nothing.
rule picture:
    input:
        spec=f"{R}/specs/{{figure}}.json",
        configs=lambda wildcards: [
            f"{R}/runs/{run.id}/config.json" for run in first_seed_runs(wildcards)
        ],
        packed=lambda wildcards: packed_meta(
            s for run in first_seed_runs(wildcards) for s in (run.train, *run.sources)
        ),
    output:
        png=report(
            f"{R}/figures/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        pdf=f"{R}/figures/{{figure}}.pdf",
        csv=f"{R}/figures/{{figure}}.csv",
    log:
        f"{R}/logs/picture/{{figure}}.log",
    wildcard_constraints:
        figure=alternatives(experiments.PICTURES),
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["figure"],
        data=DATA,
        prefix=lambda wildcards, output: Path(output.png).with_suffix(""),
    shell:
        "python -m ssl_ood picture {wildcards.figure:q} --configs {input.configs:q}"
        " --spec {input.spec:q} --data {params.data:q} --output {params.prefix:q} 2> {log:q}"


rule color_histograms:
    input:
        spec=f"{R}/specs/{{figure}}.json",
        packed=lambda wildcards: packed_meta(EXPERIMENTS.targets[wildcards.figure].in_distribution),
    output:
        png=report(
            f"{R}/figures/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        pdf=f"{R}/figures/{{figure}}.pdf",
        csv=f"{R}/figures/{{figure}}.csv",
    log:
        f"{R}/logs/color_histograms/{{figure}}.log",
    wildcard_constraints:
        figure="figure_color_histograms",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["figure"],
        prefix=lambda wildcards, output: Path(output.png).with_suffix(""),
        folders=lambda wildcards: [
            f"{DATA}/{s.path}" for s in EXPERIMENTS.targets[wildcards.figure].in_distribution
        ],
    shell:
        "python -m ssl_ood figure {wildcards.figure:q} --spec {input.spec:q}"
        " --images {params.folders:q} --output {params.prefix:q} 2> {log:q}"

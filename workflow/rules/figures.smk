# Figures: pdf and png, with their data as csv.


def first_seed_runs(wildcards):
    """One run a (dataset, strategy) of a picture: the seeds have the same negatives."""
    runs = EXPERIMENTS.targets[wildcards.figure].runs
    return [run for run in runs if run.seed == runs[0].seed]


rule figure:
    input:
        spec=f"{R}/specs/{{figure}}.json",
        metrics=lambda wildcards: [
            f"{R}/metrics/{run.id}.csv" for run in EXPERIMENTS.targets[wildcards.figure].runs
        ],
    output:
        png=report(
            f"{R}/figures/{{figure}}.png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        pdf=f"{R}/figures/{{figure}}.pdf",
        csv=f"{R}/figures/{{figure}}.csv",
    params:
        prefix=f"{R}/figures/{{figure}}",
    wildcard_constraints:
        figure="figure_(sensitivity|occupied_soft_classes)",
    localrule: True
    log:
        f"{R}/logs/figure/{{figure}}.log",
    shell:
        "python -m ssl_ood figure {wildcards.figure} --spec {input.spec} --metrics {input.metrics}"
        " --output {params.prefix} 2> {log}"


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
    params:
        prefix=f"{R}/figures/{{figure}}",
    wildcard_constraints:
        figure="figure_(negatives|views)",
    localrule: True
    log:
        f"{R}/logs/picture/{{figure}}.log",
    shell:
        "python -m ssl_ood picture {wildcards.figure} --configs {input.configs}"
        " --spec {input.spec} --data {DATA:q} --output {params.prefix} 2> {log}"


rule color_histograms:
    input:
        spec=f"{R}/specs/{{figure}}.json",
        packed=lambda wildcards: packed_meta(
            EXPERIMENTS.targets[wildcards.figure].in_distribution
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
    params:
        prefix=f"{R}/figures/{{figure}}",
        folders=lambda wildcards: [
            f"{DATA}/{s.path}" for s in EXPERIMENTS.targets[wildcards.figure].in_distribution
        ],
    wildcard_constraints:
        figure="figure_color_histograms",
    localrule: True
    log:
        f"{R}/logs/color_histograms/{{figure}}.log",
    shell:
        "python -m ssl_ood figure {wildcards.figure} --spec {input.spec} --images {params.folders}"
        " --output {params.prefix} 2> {log}"

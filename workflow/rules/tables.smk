# Tables: measured beside reported, as csv, markdown, LaTeX and HTML.


rule table:
    input:
        measurements=lambda wildcards: measurements_of(wildcards.table),
        scores=lambda wildcards: (
            scores_of(wildcards.table) if "scores" in needs_of(wildcards.table) else []
        ),
        packed=lambda wildcards: packed_meta(shown_sets(wildcards.table)),
        shortcuts=lambda wildcards: shortcuts_of(wildcards.table),
        history=lambda wildcards: (
            history_of(wildcards.table) if "history" in needs_of(wildcards.table) else []
        ),
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
        layout=f"{R}/tables/{{table}}.json",
        spec=f"{R}/specs/{{table}}.json",
    log:
        f"{R}/logs/table/{{table}}.log",
    wildcard_constraints:
        table=alternatives(CONFIG["tables"]),
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=lambda wildcards: version_of(wildcards.table),
        prefix=lambda wildcards, output: Path(output.csv).with_suffix(""),
        reported=lambda wildcards: CONFIG["reported_dir"],
        spec=lambda wildcards: json.dumps(GAPS.spec(wildcards.table), indent=1),
        images=lambda wildcards: [f"{DATA}/{s.path}" for s in shown_sets(wildcards.table)],
    shell:
        "printf '%s\\n' {params.spec:q} > {output.spec:q} &&"
        " python -m ssl_ood table --spec {output.spec:q} --measurements {input.measurements:q}"
        " --scores {input.scores:q} --images {params.images:q}"
        " --shortcuts {input.shortcuts:q} --history {input.history:q}"
        " --reported {params.reported:q} --output {params.prefix:q} 2> {log:q}"


for target in EXPERIMENTS.targets.values():

    # `snakemake figure_sensitivity`: a target of its own for every table and figure.
    rule:
        name:
            target.name
        input:
            file_of(target),
            checked_negatives(experiments.shown_runs([target])),
        localrule: True


for study in EXPERIMENTS.own:

    # `snakemake mine`: every table and figure of a study of one's own images.
    rule:
        name:
            study
        input:
            [file_of(target) for target in EXPERIMENTS.of_study(study)],
            checked_negatives(experiments.shown_runs(EXPERIMENTS.of_study(study))),
        localrule: True


for chapter in sorted({s.chapter for s in EXPERIMENTS.config.studies.values() if s.chapter}):

    # `snakemake chapter_6`: every table and figure of a chapter.
    rule:
        name:
            f"chapter_{chapter}"
        input:
            [file_of(target) for target in targets_of(chapter)],
            checked_negatives(experiments.shown_runs(targets_of(chapter))),
        localrule: True

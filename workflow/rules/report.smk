# The report: one page of everything that `all` makes (`snakemake report`).


rule report:
    input:
        f"{R}/report.html",
    localrule: True


rule write_report:
    input:
        layouts(),
        files_of("figure"),
        checked_negatives(run for target in EXPERIMENTS.usual for run in target.runs),
        f"{R}/costs.csv",
    output:
        f"{R}/report.html",
    log:
        f"{R}/logs/write_report/report.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        version=VERSIONS["report"],
    shell:
        "printf '%s' \"$SSL_OOD_CONFIG\" | python -m ssl_ood report --configfile -"
        " --output {output:q} > /dev/null 2> {log:q}"

# What the study will cost (`snakemake plan`) and what it has cost (`snakemake costs`).


rule plan:
    log:
        f"{R}/logs/plan/plan.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    shell:
        "printf '%s' \"$SSL_OOD_CONFIG\" | python -m ssl_ood plan --configfile - | tee {log:q}"


# Costs of what exists so far; makes nothing else.
rule costs:
    log:
        f"{R}/logs/costs/so_far.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        prefix=f"{R}/costs_so_far",
    shell:
        "printf '%s' \"$SSL_OOD_CONFIG\" | python -m ssl_ood costs --configfile -"
        " --output {params.prefix:q} 2> {log:q} && cat {params.prefix:q}.md"


# Of the whole study, for its report.
rule write_costs:
    input:
        scored(),
    output:
        csv=report(
            f"{R}/costs.csv",
            category="Costs",
            labels={"table": "costs"},
            caption="../report/costs.rst",
        ),
        markdown=f"{R}/costs.md",
    log:
        f"{R}/logs/write_costs/costs.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        prefix=lambda wildcards, output: Path(output.csv).with_suffix(""),
    shell:
        "printf '%s' \"$SSL_OOD_CONFIG\" | python -m ssl_ood costs --configfile -"
        " --output {params.prefix:q} 2> {log:q}"

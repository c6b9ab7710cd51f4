# What the study will cost (`snakemake plan`) and what it did cost (`snakemake costs`).


rule plan:
    log:
        f"{R}/logs/plan/plan.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    shell:
        "printf '%s' \"$SSL_OOD_CONFIG\" | python -m ssl_ood plan --configfile - | tee {log}"


rule costs:
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
        f"{R}/logs/costs/costs.log",
    localrule: True
    conda:
        "../../envs/ssl_ood.yaml"
    params:
        prefix=lambda wildcards, output: Path(output.csv).with_suffix(""),
    shell:
        "printf '%s' \"$SSL_OOD_CONFIG\" | python -m ssl_ood costs --configfile -"
        " --output {params.prefix} 2> {log}"

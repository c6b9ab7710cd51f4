# Reproduces the experiments of the thesis: `snakemake --profile slurm all_tables`, one table or
# figure by its name (`snakemake figure_sensitivity`), or everything with the report's parts (`all`).


include: "workflow/Snakefile"

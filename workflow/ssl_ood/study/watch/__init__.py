"""`ssl_ood watch`: shows how far a study is, from Snakemake's events and the trainings' files."""

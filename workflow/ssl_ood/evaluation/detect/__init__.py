"""New images against a trained run: `ssl_ood detect` and `ssl_ood.load`.

`run_files` finds what belongs to a run, `source` lists and decodes the new images, `detector`
scores them, `scan` goes through a folder in memory that does not grow, `files` writes what came of
it. The page is the report's (`ssl_ood.report.detect`).
"""

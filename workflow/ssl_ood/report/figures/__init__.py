"""Figures, one form for each function; a figure of the config has any name and one of the forms.

A form is declared beside its code, and drawn by one call:

    @register("figure", "bars", title="Bars", notes="...", needs={"measurements"}, settings=Scored)
    def bars_figure(results, files, prefix):
        figure, grid = new_figure(width, height, rows, columns)
        ...
        save_figure(figure, prefix, records)

- results: a `Results`; its options are those of the form's settings, and `study`, `strategies` and
  the like, which every figure has.
- files: `Files`, of which only what the form needs is filled in: `scores` for "scores", folders of
  packed training sets in `images` for "images", the folder of all packed sets in `data` for
  "views", the logs of the trainings in `history` for "history". Of "measurements" the results are
  made; a form without them and without "history" has results without runs,
  and one without scores, too, trains nothing.
- prefix: where `save_figure` writes prefix.pdf, prefix.png and prefix.csv, the figure's data.

The call is made inside `style.house_style`. A module that declares a form is named in
`ssl_ood.declarations` or in `plugins` of the config, and imports matplotlib, seaborn and pandas
inside functions: every dry-run imports it.
"""

"""Tables, one form for each function; a table of the config has any name and one of the forms.

A form is declared beside its code. Most are rows, columns and words:

    @register("table", "mine", title="Mine", notes="...", needs={"measurements"}, settings=Scored)
    def my_table(results):
        columns = [Column(results.title("strategies", s), {"strategy": s}) for s in ("none", "dti")]
        return Grid(results, ood_rows(results), columns).table(
            f"AUROC (%); {score_words(results)}.", ["OOD set"], ["Bold: best of the row."]
        )

- results: a `Results`; results.options are the options of the form, an object of its settings.
- `grid.Grid` measures what the rows and columns name, pivots, and lays the cells out; any other way
  to a `layout.Table` will do, too.

A module that declares a form is named in `ssl_ood.declarations` or in `plugins` of the config, and
imports pandas inside functions: every dry-run imports it.
"""

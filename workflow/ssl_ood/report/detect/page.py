"""detected.html: the most anomalous images beside their nearest training images, the distribution
of scores, a table that sorts, and what was run. One file, no network, of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.files import write_text
from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.detect.detect import Detection, summary
from ssl_ood.evaluation.detect.files import NEIGHBOURS, writable
from ssl_ood.evaluation.detect.scan import Shown
from ssl_ood.evaluation.score_columns import split_column
from ssl_ood.report.detect.assets import SCRIPT, STYLE
from ssl_ood.report.detect.distribution import distribution
from ssl_ood.report.detect.pictures import EXACT, overlay, picture
from ssl_ood.report.web import POLICY

NOT_MEDICAL = (
    "This is not a medical device. It ranks images by how unlike the training images they are; it "
    "tells nothing about a disease, and no decision about a person may rest on it."
)
HEADS = (
    ("rank", "Rank"),
    ("name", "Image"),
    ("score", "Score"),
    ("p", "p-value"),
    ("flagged", "Flagged"),
    ("nearest_1_similarity", "Similarity"),
    ("nearest_1_name", "Nearest training image"),
)
WORDS = ("name", "nearest_1_name")


def write_page(detection: Detection, output: Path) -> Path:
    """Writes the page to the folder `output`, whole or not at all."""
    path = output / "detected.html"
    with writable(output):
        write_text(path, "\n".join(_page(detection)) + "\n")
    return path


def _page(detection: Detection) -> Iterator[str]:
    about = detection.about
    title = f"Anomalies in {about['folder']}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
    yield f"<h1>{escape(title)}</h1>"
    yield from (f"<p>{escape(line)}</p>" for line in summary(about))
    yield f'<p class="notice" role="note">{escape(NOT_MEDICAL)}</p>'
    yield (
        '<nav class="tools" aria-label="Sections"><a href="#most">Most anomalous</a>'
        '<a href="#scores">Scores</a><a href="#all">Table</a><a href="#run">What was run</a></nav>'
    )
    yield from _sheet(detection)
    yield from _scores(detection)
    yield from _table(detection)
    yield from _run(about)
    yield from _unreadable(detection)
    yield f"<script>{SCRIPT}</script></body></html>"


# ---- the contact sheet


def _sheet(detection: Detection) -> Iterator[str]:
    shown, rows = detection.found.shown, detection.found.rows
    heats = [one.heat for one in shown if one.heat is not None]
    count = "image" if len(shown) == 1 else f"{len(shown)} images"
    yield f'<section aria-labelledby="most"><h2 id="most">The most anomalous {count}</h2>'
    if rows and rows[0]["nearest_1"] is not None:
        yield (
            "<p>Each beside the training images that are nearest to it by the network's features; "
            "the number is their cosine similarity.</p>"
        )
    if heats:
        yield (
            '<p class="tools"><label><input type="checkbox" id="heat" checked> heat maps: where an '
            "image is unlike every training image</label></p>"
        )
    span = (np.median(heats), np.quantile(heats, 0.995)) if heats else (0.0, 1.0)
    yield '<ol class="cards">'
    for one, row in zip(shown, rows, strict=False):
        yield _card(detection, one, row, span)
    yield "</ol></section>"


def _card(detection: Detection, one: Shown, row: dict[str, Any], span: tuple[float, float]) -> str:
    name = escape(row["name"])
    flagged = ' <span class="badge">flagged</span>' if row["flagged"] else ""
    kind = " flagged" if row["flagged"] else ""
    own = _frame(one.pixels, row["name"])
    if one.heat is not None:
        own += f'<img class="heat" src="{overlay(one.heat, span)}" alt="">'
    near = "".join(_near(detection, row, i + 1) for i in range(NEIGHBOURS))
    return (
        f'<li class="card{kind}"><header><b>{row["rank"]}</b>{flagged}'
        f'<span class="numbers">score {_number(row["score"])} · p {_number(row["p"])}</span>'
        f'</header><span class="name">{name}</span><div class="pictures"><figure class="own">'
        f'<span class="frame">{own}</span></figure>{near}</div></li>'
    )


def _near(detection: Detection, row: dict[str, Any], i: int) -> str:
    """The i-th nearest training image of a row, or nothing where there is none."""
    index = row[f"nearest_{i}"]
    if index is None:
        return ""
    name = row[f"nearest_{i}_name"]
    title = f"training image {index}" if name is None else name
    pictures = detection.train.pictures
    if pictures is None:
        frame = f'<span class="none">{escape(title)}</span>'
    else:
        frame = _frame(np.asarray(pictures[index]), title)
    similarity = _number(row[f"nearest_{i}_similarity"])
    return (
        f'<figure class="near" title="{escape(title)}"><span class="frame">{frame}</span>'
        f"<figcaption>{similarity}</figcaption></figure>"
    )


def _frame(pixels: np.ndarray, alt: str) -> str:
    small = ' class="small"' if pixels.shape[0] <= EXACT else ""
    return f'<img{small} src="{picture(pixels)}" alt="{escape(alt)}">'


# ---- the other sections


def _scores(detection: Detection) -> Iterator[str]:
    about = detection.about
    alarms, calibration = about["false_alarms"], about["calibration"]
    score = lookup("score", split_column(about["score"])[0])
    yield '<section aria-labelledby="scores"><h2 id="scores">Scores</h2>'
    yield distribution(
        detection.calibration,
        detection.found.scores,
        alarms["threshold"],
        f"score {about['score']}",
        bool(score.more.get("distance")),
    )
    yield (
        f"<p>Grey: {calibration['images']:,} calibration images ({escape(calibration['set'])}), on "
        f"which the network was not trained. Blue: the {about['images']:,} images of this folder. "
        f"Flagged is what scores above {_number(alarms['threshold'])}: at most "
        f"{alarms['rate']:.1%} of normal images, on average over calibration sets. Of "
        f"{about['images']:,} normal images that would be {alarms['low']:,} to {alarms['high']:,} "
        f"({alarms['confidence']:.0%} interval, beta-binomial: it counts the uncertainty of the "
        "threshold and that of the sample). "
        f"No p-value is below {_number(1 / (1 + calibration['images']))}, which is what an image "
        "beyond all calibration images has. Normal means: like the calibration images, from the "
        "same source.</p></section>"
    )


def _table(detection: Detection) -> Iterator[str]:
    rows, images = detection.found.rows, detection.about["images"]
    yield '<section aria-labelledby="all"><h2 id="all">Images</h2>'
    more = (
        f"The {len(rows):,} most anomalous of {images:,} images"
        if len(rows) < images
        else (f"All {images:,} images")
    )
    yield f"<p>{more}; detected.csv and detected.parquet have every image and every column.</p>"
    yield (
        '<p class="tools"><label>Name contains <input type="search" id="filter"></label> '
        '<span id="said" role="status"></span></p>'
    )
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Table of images">'
    yield '<table id="images" class="sortable"><thead><tr>'
    for key, head in HEADS:
        order = "ascending" if key == "rank" else "none"
        kind = ' class="words"' if key in WORDS else ""
        yield f'<th scope="col"{kind} aria-sort="{order}"><button>{head}</button></th>'
    yield "</tr></thead><tbody>"
    for row in rows:
        kind = ' class="flagged"' if row["flagged"] else ""
        yield f"<tr{kind}>{''.join(_cell(key, row) for key, _ in HEADS)}</tr>"
    yield "</tbody></table></div></section>"


def _cell(key: str, row: dict[str, Any]) -> str:
    value = row[key]
    if key == "nearest_1_name" and value is None and row["nearest_1"] is not None:
        value = f"training image {row['nearest_1']}"
    if value is None:
        return "<td></td>"
    if key in WORDS:
        return f'<td class="words">{escape(value)}</td>'
    if key == "flagged":
        return f'<td data-value="{int(value)}">{"yes" if value else "no"}</td>'
    return f'<td data-value="{value!r}">{_number(value)}</td>'


def _run(about: dict[str, Any]) -> Iterator[str]:
    code, calibration, alarms = about["code"], about["calibration"], about["false_alarms"]
    commit = code["commit"] or "no commit known"
    facts = {
        "Model": about["run"],
        "Weights": f"SHA-256 {about['weights_sha256']}",
        "Trained on": f"{about['in_distribution']}, {about['size']} pixels ({about['fit']}), by "
        f"{about['method']}, negatives {about['strategy']}, variant {about['variant']}, seed "
        f"{about['seed']}",
        "Code": f"ssl_ood {code['version']}, {commit}",
        "Score": f"{about['score']} ({about['score_title']}): {about['score_because']}",
        "Calibration": f"{calibration['images']:,} images of {calibration['set']}",
        "False alarms": f"a rate of {alarms['rate']:.1%}; threshold "
        f"{_number(alarms['threshold'])}, which is calibration score number "
        f"{alarms['rank_of_threshold']:,} from the top",
        "Images": f"{about['images']:,} read, {about['unreadable']:,} unreadable, "
        f"{about['other_files']:,} other files",
    }
    if "maps" in about:
        facts["Heat maps"] = about["maps"]["note"]
    yield '<section aria-labelledby="run"><h2 id="run">What was run</h2><dl>'
    yield from (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    yield "</dl></section>"


def _unreadable(detection: Detection) -> Iterator[str]:
    unreadable = detection.unreadable
    if not unreadable.count:
        return
    yield '<section aria-labelledby="unreadable">'
    yield '<h2 id="unreadable">Images that cannot be read</h2>'
    yield f"<details><summary>{unreadable.count:,} images; unreadable.csv has all of them"
    yield "</summary><ul>"
    yield from (f"<li>{escape(name)}: {escape(why)}</li>" for name, why in unreadable.first)
    yield "</ul></details></section>"


def _number(value: float | int) -> str:
    """Four digits, with a true minus sign."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:#.4g}".removesuffix(".")
    return text.replace("-", "−")

"""Every cell of every table of a results folder, and the numbers that they have to equal.

    python tests/golden/cells.py RESULTS > tests/golden/demo_cells.csv

RESULTS is what `tests/workflow/test_end_to_end.py` makes: the demo, shortened (`tiny_study.yaml`),
under `KERNELS`. The file changes only where numbers change on purpose: made at ccf5649, and anew
when the defaults of chapters 6 and 7 became those of the authors' code and verdicts came to rest on
intervals; the tables of chapter 5 have stayed as they were.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from pathlib import Path

GOLDEN = Path(__file__).with_name("demo_cells.csv")
COLUMNS = ("table", "row", "column", "cell")
WORDS = "table_protocol_choices"  # nothing in it is measured
# Kernels that round alike on every x86-64 processor with AVX2: results are compared to the last
# printed digit.
KERNELS = {
    "OMP_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
}
# Of the machine that made the file; see `fingerprint`.
FINGERPRINT = "7f929dbce37b85b65d67c3ff1a2343a3f8c8019d5acdf6692d7b8864ad6344b1"


def cells_of(results: Path) -> list[dict[str, str]]:
    """A row for every cell of the markdown tables below `results`/tables, in order."""
    rows = []
    for path in sorted(results.glob("tables/*.md")):
        if path.stem == WORDS:
            continue
        lines = [x for x in path.read_text(encoding="utf-8").splitlines() if x.startswith("|")]
        header, _, *body = (
            [cell.strip() for cell in re.split(r"(?<!\\)\|", x)[1:-1]] for x in lines
        )
        rows += [
            dict(zip(COLUMNS, (path.stem, str(i), column, cell), strict=True))
            for i, line in enumerate(body)
            for column, cell in zip(header, line, strict=True)
        ]
    return rows


def fingerprint() -> str:
    """How this process rounds: a digest of a few training steps in plain torch, no code of ours.

    Where it differs from `FINGERPRINT`, so may the last digits of the tables, and a comparison
    would say nothing about this project.
    """
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 64), nn.LayerNorm(64), nn.GELU(),
        nn.Linear(64, 32),
    )  # fmt: skip
    attention = nn.MultiheadAttention(32, 2, batch_first=True)
    parameters = [*network.parameters(), *attention.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(5):
        features = network(torch.rand(50, 3, 16, 16)).view(10, 5, 32)
        mixed, _ = attention(features, features, features)
        loss = torch.logsumexp(mixed @ mixed.transpose(1, 2), dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    """Prints the cells of the results folder named on the command line; `--kernels` a digest."""
    if sys.argv[1] == "--kernels":
        print(fingerprint())
        return
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells_of(Path(sys.argv[1])))


if __name__ == "__main__":
    main()

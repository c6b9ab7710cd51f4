"""The display on a terminal: a picture that is redrawn in place, drawn by rich."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, TextIO

from ssl_ood.study.watch.display import Picture, describe_jobs
from ssl_ood.study.watch.trainings import describe_training

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

REFRESH = 0.25  # seconds between two pictures
WIDE = 110  # columns from which on a training shows its epoch
BAR = 24  # columns of the bar of all jobs


class Terminal:
    """Redraws its picture; what is said scrolls by above it."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.shown, self.drawn, self.width = -math.inf, [], 0
        self.console = Console(file=out, force_terminal=True, highlight=False)
        # Nothing of ours is printed behind its back, and no thread draws.
        self.live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self.live.start()

    def show(self, picture: Picture) -> None:
        """Draws how far the jobs and the trainings are, unless that was just done."""
        if time.monotonic() - self.shown < REFRESH:
            return
        self.shown = time.monotonic()
        self._erase_broken_lines()
        self.live.update(self._draw(picture), refresh=True)

    def say(self, text: str) -> None:
        """Prints `text` for good, above the picture."""
        from rich.text import Text

        self._erase_broken_lines()
        self.console.print(Text(text), soft_wrap=True)
        self.shown = -math.inf

    def close(self) -> None:
        """Leaves the terminal as it was, without the picture."""
        self._erase_broken_lines()
        self.live.stop()

    def _draw(self, picture: Picture) -> Group:
        from rich.console import Group
        from rich.text import Text

        self.width, height = self.console.size
        head: list[Any] = []
        if jobs := picture.jobs:
            head.append(self._bar(picture))
            # A training has a line of its own as soon as it has written something.
            rules = jobs.running_rules().items()
            names = ", ".join(f"{rule} x{n}" if n > 1 else rule for rule, n in rules)
            head += [Text(f"  now: {names}", style="dim")] if names else []
        room = max(height - len(head) - 2, 1)
        lines = self._training_lines(picture.trainings, room)
        if (more := len(picture.trainings) - room) > 0:
            lines.append(Text(f"  and {more} more training{'s' if more > 1 else ''}"))
        for line in [*head, *lines]:
            line.no_wrap, line.overflow = True, "crop"
            line.truncate(self.width - 1)
        self.drawn = [line.cell_len for line in [*head, *lines]]
        return Group(*head, *lines)

    def _bar(self, picture: Picture) -> Text:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        jobs = picture.jobs
        share = jobs.done / jobs.total if jobs.total else 0.0
        bar = ProgressBar(total=1.0, completed=share, width=BAR)
        line = Text()
        for segment in bar.__rich_console__(self.console, self.console.options):
            line.append(segment.text, segment.style)
        line.append(f" {share:4.0%}  ", style="bold")
        return line.append(describe_jobs(jobs, picture.elapsed, picture.left))

    def _training_lines(self, trainings: list[dict[str, Any]], room: int) -> list[Text]:
        from rich.text import Text

        texts = [describe_training(training, self.width < WIDE) for training in trainings]
        names = max((len(training["run"]) for training in trainings), default=0)
        names = min(names, max(self.width - 5 - max(map(len, texts), default=0), 8))
        lines = []
        for training, text in list(zip(trainings, texts, strict=True))[:room]:
            style = "yellow" if training["state"] or training.get("warning") else ""
            name = f"  {_end_of(training['run'], names):{names}}  "
            lines.append(Text.assemble((name, "cyan"), (text, style)))
        return lines

    def _erase_broken_lines(self) -> None:
        # In a window made narrower since, the terminal has broken the old lines into several,
        # of which rich does not know.
        from rich.control import Control, ControlType

        width = self.console.size.width
        if not self.drawn or width >= self.width:
            return
        rows = sum(max(1, math.ceil(cells / max(width, 1))) for cells in self.drawn)
        erase = [(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)]
        self.console.control(Control(*erase * (rows - len(self.drawn))))
        self.drawn = []


def _end_of(name: str, width: int) -> str:
    # Runs differ in their last words: strategy, variant, seed.
    return name if len(name) <= width else ".." + name[-(width - 2) :]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the losses of training runs, one after the other.

python -m refit_training.train.plot_log RUN [RUN …] --out training.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

PLOTTED = {
    "keypoints2d": "2D (half crops)",
    "keypoints3d": "3D (metres a coordinate)",
    "rotations": "rotations (squared)",
    "depth": "depth (logarithm)",
}


def plot(runs: list[Path], out: Path) -> None:
    """One panel per loss; the first and the last estimate of the loop; a line where the next run begins."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(PLOTTED), figsize=(16, 3.6))
    minutes = 0.0
    for number, run in enumerate(runs):
        height = 0.98 - 0.2 * (number % 2)  # names of short runs would hide each other
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        lines = [line for line in lines if "keypoints2d_first" in line]
        times = [minutes + line["seconds"] / 60 for line in lines]
        for panel, name in zip(panels, PLOTTED, strict=True):
            for which, color in (("first", "tab:orange"), ("last", "tab:blue")):
                panel.plot(times, [line[f"{name}_{which}"] for line in lines], color=color, lw=1.2)
            panel.axvline(minutes, color="0.8", lw=1)
            panel.text(
                minutes,
                height,
                run.name,
                fontsize=7,
                rotation=90,
                va="top",
                color="0.4",
                transform=panel.get_xaxis_transform(),
            )
        minutes = times[-1]
    for panel, title in zip(panels, PLOTTED.values(), strict=True):
        panel.set(title=title, xlabel="minutes")
    panels[0].legend(panels[0].lines[:2], ["initial estimate", "last estimate"], fontsize=8, loc="center")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    plot(options.runs, options.out)


if __name__ == "__main__":
    main()

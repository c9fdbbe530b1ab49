"""The records as a table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from benchmarks.row import Config

_COLUMNS = ("row", "beside", "unit", "ours", "peer", "ratio", "target", "peak memory", "ratio", "target")
_WORDS = ("row", "beside", "unit")


def ratio_table(records: Sequence[Config]) -> Table:
    """A row a record: both rates, the peak memory of both processes, and their ratios beside the targets."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in _WORDS else "right", no_wrap=True)
    for one in records:
        style = "green" if one["met"] else "red"
        peaks, target = one["peak_rss_bytes"], one["target"]
        at_most = target["peak_rss_ratio"]
        table.add_row(
            one["row"],
            one["peer_name"],
            one["unit"],
            f"{one['ours']:.3g}",
            f"{one['peer']:.3g}",
            f"[{style}]{one['ratio']:.2f}[/]",
            f"≥ {target['ratio']:g}",
            f"{peaks['ours'] / 2**30:.2f} / {peaks['peer'] / 2**30:.2f} GiB",
            f"{one['peak_rss_ratio']:.2f}" if at_most is None else f"[{style}]{one['peak_rss_ratio']:.2f}[/]",
            "" if at_most is None else f"≤ {at_most:g}",
        )
    return table

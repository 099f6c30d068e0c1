"""`crisis data download`: the photos that a table names by address, as files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import DatasetFlags

if TYPE_CHECKING:
    from pipeline.datasets.delimited import Table

SHOWN = 10
MIB = 1 << 20


def download(
    output: Annotated[Path, typer.Option(help="The folder for photos and table; the same one again to go on.")],
    source: DatasetFlags,
    timeout: Annotated[float, typer.Option(min=1, max=3600, help="Seconds for a photo, from first to last byte.")] = 30,
    delay: Annotated[float, typer.Option(min=0, max=3600, help="Seconds between two requests to one host.")] = 0.2,
    max_mib: Annotated[int, typer.Option(min=1, max=256, help="MiB that a photo may have.")] = 32,
    max_total_mib: Annotated[int, typer.Option(min=1, help="MiB that a run may fetch.")] = 100 * 1024,
    again: Annotated[bool, typer.Option("--again", help="Ask also for photos that were gone or no photos.")] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Ask also this machine and its own network, and by a proxy.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fetch the photos that a table names by address, and write the table with their files.

    One photo of a host at a time; addresses of this machine and of its network are refused. Stopped, the same command
    goes on with what is missing. Exit code 3: done, but some photos could not be had (listed with their reasons).
    """
    from pipeline.download.links import is_address
    from pipeline.download.run import Limits
    from pipeline.download.run import download as fetch_all
    from pipeline.download.state import State
    from pipeline.download.table import PHOTOS, TABLE, address_of, parts_of, write_table
    from pipeline.errors import UsageError
    from pipeline.interrupt import Interrupts
    from pipeline.log import say, set_quiet

    set_quiet(quiet)
    table, image = _table(source)
    _check_folder(output, source.data)
    parts = [part for cell in table.columns[image] for part in parts_of(cell, source.image_separator)]
    named = [part for part in parts if is_address(part)]
    if not named:
        raise UsageError(f"The column '{image}' holds no address of a photo (http:// or https://).")
    wanted = dict.fromkeys(address for part in named if (address := address_of(part)) is not None)
    say(f"{len(named):,} addresses, {len(set(named)):,} of them distinct")
    output.mkdir(parents=True, exist_ok=True)
    limits = Limits(timeout, max_mib * MIB, max_total_mib * MIB, delay, allow_private)
    with State(output, output / PHOTOS) as state, Interrupts() as interrupts:
        fetch_all(wanted, output / PHOTOS, state, limits, interrupts, again)
    write_table(output / TABLE, table.columns, image, source.image_separator, state.files)
    there = sum(address in state.files for address in wanted)
    unfit = len({part for part in named if address_of(part) is None})
    failed = {address: state.failed[address].reason for address in wanted if address in state.failed}
    left = len(wanted) - there - len(failed)
    if json:
        o.print_json(
            {
                "table": str(output / TABLE),
                "photos": there,
                "failed": failed,
                "cannot_be_asked": unfit,
                "left": left,
                "interrupted": interrupts.asked,
            }
        )
    else:
        o.print_line(f"{output / TABLE}: {there:,} of {len(wanted) + unfit:,} photos are there")
        for reason, count in Counter(failed.values()).most_common():
            shown = [address for address, why in failed.items() if why == reason][:SHOWN]
            more = f", and {count - SHOWN:,} more" if count > SHOWN else ""
            o.print_line(f"  {count:,} {reason}: {', '.join(shown)}{more}")
        if unfit:
            o.print_line(f"  {unfit:,} are no addresses that can be asked")
        if left:
            o.print_line(f"  {left:,} are left; run the same command again to go on")
    if interrupts.asked:
        raise typer.Exit(130)
    if failed or unfit or left:
        raise typer.Exit(3)


def _table(source: DatasetFlags) -> tuple[Table, str]:
    """The table, and the name of its image column."""
    from pipeline.datasets.frames import read_table
    from pipeline.errors import UsageError

    if source.data is None or source.dataset not in (None, "table"):
        raise UsageError("crisis data download reads a table; name it with --data.")
    columns = source.columns()
    table = read_table(source.data, text=columns.format)
    found = columns.found(list(table.columns))
    image = found.get("image")
    if image is None or image not in table.columns:
        raise UsageError(
            f"'{source.data.name}' has no image column; name it with --image-column: it has {', '.join(table.columns)}."
        )
    return table, image


def _check_folder(output: Path, data: Path | None) -> None:
    """Refuse to write over a table that is not ours."""
    from pipeline.download.state import NAME
    from pipeline.download.table import TABLE
    from pipeline.errors import UsageError

    target = output / TABLE
    if output.exists() and not output.is_dir():
        raise UsageError(f"'{output}' is a file; --output names a folder.")
    if target.exists() and (not (output / NAME).exists() or (data is not None and target.samefile(data))):
        raise UsageError(f"'{target}' is there already and was not written by this command; take another --output.")

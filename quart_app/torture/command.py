"""``quart-app torture``: the options. What they start is in perform.py, what is played in rows/."""

import sys
from pathlib import Path

import click

AT_LEAST_ONE = click.IntRange(min=1)


@click.command()
@click.option(
    "--url", metavar="URL", help="Against this server, which is left whole: fewer faults."
)
@click.option(
    "--docker",
    is_flag=True,
    help="On MySQL 9 in a container; with --cluster, on a replication group of three.",
)
@click.option(
    "--cluster", is_flag=True, help="On a private Galera cluster of 3, with rows of its own."
)
@click.option("--only", metavar="ROWS", help="Only these rows, as in 4,7 or 6a. See --list.")
@click.option("--quick", is_flag=True, help="Leave out the rows that take longest.")
@click.option("--seed", type=int, help="Rows in random order, the same for the same number.")
@click.option(
    "--seconds",
    type=AT_LEAST_ONE,
    help="Go through the rows until this time is over. Default: once.",
)
@click.option(
    "--soak",
    type=AT_LEAST_ONE,
    help="Instead of faults: busy and idle by turns for so many seconds.",
)
@click.option(
    "--peers", is_flag=True, help="The same for other ways to write the API, side by side."
)
@click.option("--list", "only_list", is_flag=True, help="List the rows and stop.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write torture.json and torture.svg into this folder.",
)
def torture(  # noqa: PLR0913 - one for each option
    *,
    url: str | None,
    docker: bool,
    cluster: bool,
    only: str | None,
    quick: bool,
    seed: int | None,
    seconds: int | None,
    soak: int | None,
    peers: bool,
    only_list: bool,
    out: Path | None,
) -> None:
    """Load the API while its database breaks in every way; tell what clients saw.

    Starts a private database server and the app, breaks the one under the other, and counts
    afterwards whether every write that was acknowledged is there exactly once. Exit status 1 if a
    promise was broken.
    """
    # --help answers at once
    from quart_app.torture import hosts, perform, plan  # noqa: PLC0415
    from quart_app.torture.peers import ROWS, compare  # noqa: PLC0415
    from quart_app.torture.rows import CLUSTER, GROUP, TABLE  # noqa: PLC0415
    from quart_app.torture.rows.soak import soak as soaking  # noqa: PLC0415

    table = (GROUP if docker else CLUSTER) if cluster else TABLE
    rows = plan.chosen(only, quick=quick, given=url is not None, table=table)
    if only_list:
        click.echo("\n".join(f"{row.number:<4} {row.title}" for row in rows))
        return
    if soak is not None:
        rows = [soaking(soak)]
    order = plan.Plan(rows, seed=seed, seconds=seconds)
    wanted = hosts.Wanted(url=url, docker=docker, cluster=cluster)
    if peers:
        rows = [row for row in rows if only or row.number in ROWS]
        sys.exit(compare(wanted, rows, out=out))
    sys.exit(perform.on_server(order, wanted, out=out))

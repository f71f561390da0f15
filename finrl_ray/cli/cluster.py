"""The commands for clusters: `submit` and `dashboard`. Heavy modules are imported inside them."""

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.writable_folder import require_writable
from finrl_ray.support.text import counted

if TYPE_CHECKING:
    from finrl_ray.jobs.client import Ended, JobServer

EXIT_INTERRUPTED = 130
EXIT_ERROR = 2
_STOP_S = 120.0

AddressOption = Annotated[
    str | None,
    typer.Option(
        help="The dashboard's URL, or auto or host:port of a head. Default: "
        "RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265, where `ray dashboard` ends its tunnel."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(submit)
    app.command()(dashboard)
    app.command()(grafana)


def submit(
    config: Annotated[Path | None, typer.Argument(help="A config.yaml.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one value: --set agent.total_timesteps=20000."),
    ] = None,
    address: AddressOption = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the log and fetch the results.")
    ] = True,
    follow: Annotated[
        str | None, typer.Option(metavar="ID", help="Follow a job that was sent before.")
    ] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="ID", help="End a job as Ctrl-C would, and fetch.")
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="ID", help="Fetch what a job has written so far.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with the search of an ended job.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: search.storage_path.")
    ] = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Fetch all checkpoints, not the winner's alone.")
    ] = False,
) -> None:
    """Run a search on a cluster: send it, follow its log, fetch its results."""
    given = [value for value in (config, follow, stop, fetch, resume) if value is not None]
    if len(given) != 1:
        raise ConfigError(
            "give either a config to send, or one of --follow, --stop, --fetch and --resume with "
            f"a job's id; got {len(given)} of them"
        )
    if overrides and config is None:
        raise ConfigError("--set changes a config that is sent; a job that was sent keeps its own")
    from finrl_ray.jobs.client import JobServer

    _quiet_ray()
    if into is not None:
        require_writable("--into", into)
    if config is not None:
        # what is wrong with the config is found before the cluster is asked
        job_id, server = _send(config, overrides or [], address, fetches=wait and into is None)
    else:
        server = JobServer(address)
        job_id = str(given[0])
        if resume is not None:
            job_id = _send_resume(server, resume)
    if fetch is not None:
        _fetch(server, job_id, into, checkpoints)
        return
    if stop is not None:
        server.stop(job_id)
        print(f"{job_id} is asked to end; it writes down what it has")
        server.wait(job_id, _STOP_S)
    if not wait:
        print(f"follow it with: finrl-ray submit --follow {job_id}{_again(address)}")
        return
    ended = _follow(server, job_id, address)
    _fetch(server, job_id, into, checkpoints)
    code = _exit_code(ended)
    if code == EXIT_INTERRUPTED:
        print(f"go on with: finrl-ray submit --resume {job_id}{_again(address)}")
    raise typer.Exit(code)


def _send(
    config: Path, overrides: list[str], address: str | None, *, fetches: bool
) -> tuple[str, "JobServer"]:
    from finrl_ray.jobs.client import JobServer
    from finrl_ray.jobs.package import make_package

    with tempfile.TemporaryDirectory() as folder:
        package = make_package(config, overrides, Path(folder))
        if fetches:  # into the folder of this name on this machine
            require_writable("search.storage_path", package.results, " for the results with --into")
        server = JobServer(address)
        kept = {
            "finrl_ray_job": package.job_id,
            "finrl_ray_storage": package.storage,
            "finrl_ray_results": package.results,
        }
        job_id = server.submit(
            package.entrypoint, job_id=package.job_id, folder=package.folder, metadata=kept
        )
    print(f"job {job_id} is sent to {server.url}")
    return job_id, server


def _send_resume(server: "JobServer", earlier: str) -> str:
    from finrl_ray.jobs.package import remote_storage, resume_entrypoint

    kept = server.metadata(earlier)
    first = kept.setdefault("finrl_ray_job", earlier)
    storage = kept.setdefault("finrl_ray_storage", remote_storage("runs", first))
    job_id = server.submit(
        resume_entrypoint(storage), job_id=f"{first}_{time.strftime('%H%M%S')}", metadata=kept
    )
    print(f"job {job_id} goes on with the search of {first}")
    return job_id


def _follow(server: "JobServer", job_id: str, address: str | None) -> "Ended":
    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        return server.follow(job_id, write)
    except KeyboardInterrupt:
        again = _again(address)
        print(f"\nthe job {job_id} goes on without you")
        print(f"follow it again: finrl-ray submit --follow {job_id}{again}")
        print(f"end it:          finrl-ray submit --stop {job_id}{again}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _again(address: str | None) -> str:
    return f" --address {address}" if address else ""


def _fetch(server: "JobServer", job_id: str, into: Path | None, checkpoints: bool) -> None:
    from finrl_ray.jobs.fetch import fetch_results

    local = into or Path(server.metadata(job_id).get("finrl_ray_results", "runs"))
    paths = fetch_results(server, job_id, local, checkpoints=checkpoints)
    if not paths:
        print("no results have been written on the cluster")
    for path in paths:
        print(f"fetched: {path}")
        print(f"next: finrl-ray show {path}")


def _exit_code(ended: "Ended") -> int:
    if ended.state == "SUCCEEDED":
        return 0
    if ended.state == "STOPPED":
        return EXIT_INTERRUPTED
    if ended.exit_code is None:
        raise SearchError(f"the job was never run: {ended.message}")
    return ended.exit_code


def dashboard(
    address: Annotated[
        str | None,
        typer.Option(help="A cluster: auto, host:port of its head, or the dashboard's URL."),
    ] = None,
) -> None:
    """Find the Ray dashboard and print its address; start a Ray with one if none runs here."""
    from finrl_ray.cluster.nodes import local_rays

    _quiet_ray()
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        _print_dashboard(_dashboard_at(address))
        return
    rays = local_rays()
    if rays:
        _print_local_dashboards(rays)
    else:
        _serve_dashboard()


def _dashboard_at(address: str) -> str:
    from finrl_ray.cluster.nodes import cluster_address, dashboard_answers, dashboard_of
    from finrl_ray.cluster.proxies import proxy_words

    if address.startswith(("http://", "https://")):
        url: str | None = address.rstrip("/")
        found = url if url and dashboard_answers(url, direct=False) else None
        asked = proxy_words(address)
    else:
        joined = cluster_address(address)
        found, asked = dashboard_of(joined) if joined else None, ""
    if found is None:
        raise SearchError(
            f"no Ray dashboard answers for {address}{asked}; was its Ray started with one?"
        )
    return found


def _print_local_dashboards(rays: list[str]) -> None:
    from finrl_ray.cluster.nodes import dashboard_of

    urls, problems = [], []
    for ray_address in rays:
        try:
            url = dashboard_of(ray_address)
        except SearchError as error:
            problems.append(str(error))
            continue
        if url and url not in urls:
            urls.append(url)
    for url in urls:
        _print_dashboard(url)
    if not urls:
        reasons = f" ({problems[0]})" if problems else ""
        raise SearchError(
            f"{counted(len(rays), 'Ray')} on this machine, at {', '.join(rays)}, but none has a "
            f"dashboard that answers{reasons}; leave --no-dashboard out when you start a search"
        )


def _print_dashboard(url: str) -> None:
    from finrl_ray.cluster.security import dashboard_exposure, token_mode_wanted, token_place

    print(f"dashboard: {url}")
    if token_mode_wanted():
        print(f"it asks for the token once: paste what is in {token_place()}")
    warning = dashboard_exposure(url)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def _serve_dashboard() -> None:
    from finrl_ray.cluster.nodes import current_dashboard
    from finrl_ray.cluster.session import ray_session

    print("no Ray runs on this machine; starting one (a few seconds)")
    with ray_session({}, address="local", dashboard=True):
        url = current_dashboard()
        if url is None:
            raise SearchError("Ray has started without its dashboard; is ray[default] installed?")
        _print_dashboard(url)
        print("searches run in it with: finrl-ray tune CONFIG --address auto")
        print("Ctrl-C ends it, and every search in it")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)


def _quiet_ray() -> None:
    """After Ray is imported, which sets levels of its own: its steps of packing are not news."""
    import logging

    for name in ("ray", *(name for name in logging.root.manager.loggerDict if name[:4] == "ray.")):
        logging.getLogger(name).setLevel(logging.ERROR)


def grafana(
    folder: Annotated[Path, typer.Argument(help="Folder for the files; it is made.")],
    ray_folder: Annotated[
        Path | None,
        typer.Option(help="Ray's folder for temporary files. Default: that of RAY_TMPDIR."),
    ] = None,
) -> None:
    """Write what Prometheus and Grafana need to show searches, and how to start them."""
    from finrl_ray.cluster.temp_folder import ray_folder as folder_of_ray
    from finrl_ray.monitoring.grafana_files import write_grafana_files

    written = write_grafana_files(folder, ray_folder or folder_of_ray())
    print(f"wrote {written.folder}; start, each in a terminal of its own:")
    print(f"  {written.prometheus}")
    print(f"  {written.grafana}")
    print("then open http://127.0.0.1:3000/d/finrl-ray while a search runs with its dashboard.")
    print("For Grafana's panels in Ray's own dashboard, set these before the search:")
    for name, value in written.variables.items():
        print(f"  export {name}={value}")

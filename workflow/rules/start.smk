# What the workflow refuses, reports and starts before its first job.
import inspect
from collections import Counter

from ssl_ood.common.errors import unknown
from ssl_ood.common.files import write_json
from ssl_ood.common.warm.server import start as start_warm
from ssl_ood.datasets.places import missing_restricted
from ssl_ood.study.bundled import older_code
from ssl_ood.study.left_behind import describe_left
from ssl_ood.study.partition import Request, partitions, refuse_impossible


def refuse_a_place_that_cannot_be_written():
    """Ends the workflow before its first job where its results cannot be written."""
    folder = next(f for f in (Path(R).absolute(), *Path(R).absolute().parents) if f.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WorkflowError(
            f"results_dir {R}: this user may not write into {folder}: ask its owner for the right "
            "to, or name another folder."
        )


def tell_of_trainings_left_behind(jobs):
    """Reports which trainings of this plan are still running under an earlier Snakemake."""
    runs = {job.wildcards.run for job in jobs if job.rule.name == "train"}
    if left := describe_left(Path(R), runs):
        print(left, file=sys.stderr, flush=True)


def refuse_missing_archives(jobs):
    """Ends the workflow before its first job if archives are missing that must be requested by hand.

    All of them are named at once. This happens only if the config is strict; a dry-run plans
    without them.
    """
    names = {job.wildcards.dataset for job in jobs if job.rule.name == "fetch_dataset"}
    wanted = [EXPERIMENTS.datasets[name].read_for(splits_of(name)) for name in sorted(names)]
    folders = [Path(folder) for folder in CONFIG["archive_dirs"]]
    message = missing_restricted(wanted, folders, Path(CONFIG["downloads_dir"]))
    if message:
        raise WorkflowError(message)


def refuse_what_no_partition_grants(jobs):
    """Ends the workflow before its first job where SLURM could never start one, with one sentence.

    No later try of a job asks for more time than its partition grants.
    """
    if workflow.executor_plugin.name != "slurm":
        return
    submitted = [job for job in jobs if not job.is_local]
    try:
        longest = refuse_impossible(map(request_of, submitted), partitions())
    except UserError as error:
        raise WorkflowError(str(error))
    EXECUTION["max_minutes"] = int(min(EXECUTION["max_minutes"], longest))


def read_cancelled_as_cancelled():
    """Lets the SLURM plugin see that a job was cancelled: sacct writes `CANCELLED by 1000`, and the
    plugin knows the first word only (2.8), so that Snakemake would wait for the job for ever."""
    if workflow.executor_plugin.name != "slurm":
        return
    import snakemake_executor_plugin_slurm as plugin

    ask = getattr(plugin, "query_job_status", None)
    if not inspect.iscoroutinefunction(ask):
        return  # another version of the plugin, which asks in another way

    async def ask_for_first_words(*arguments):
        states, seconds = await ask(*arguments)
        return states and {job: state.partition(" ")[0] for job, state in states.items()}, seconds

    plugin.query_job_status = ask_for_first_words


def request_of(job):
    """What a job asks SLURM for."""
    asked = job.resources
    return Request(
        job=" of ".join([job.rule.name, *job.wildcards_dict.values()]),
        partition=str(asked.get("slurm_partition") or ""),
        minutes=int(asked.get("runtime") or 0),
        memory_mb=int(asked.get("mem_mb") or 0),
        cpus=int(asked.get("cpus_per_task") or job.threads),
        gpus=int(asked.get("gpu") or 0),
    )


def tell_of_gaps(jobs):
    """Reports what is left out of the tables and figures, in the log and to `ssl_ood watch`."""
    names = {job.rule.name for job in jobs} & EXPERIMENTS.targets.keys()
    for job in jobs:
        names |= {*job.wildcards} if job.rule.name in ("table", "figure") else set()
    targets = [target for name, target in EXPERIMENTS.targets.items() if name in names]
    if not targets:
        return
    gaps.write_gaps(GAPS, targets, Path(R, "gaps.json"))
    left_out = dict.fromkeys(gap.sentence() for target in targets for gap in GAPS.of(target))
    for sentence in left_out:
        logger.warning(f"Left out: {sentence}")


def tell_of_older_bundles(jobs):
    """Says which bundled runs that these jobs show were made by another version of the code."""
    names = {name for job in jobs if job.rule.name in ("table", "figure") for name in job.wildcards}
    shown = {run.id for name in names for run in EXPERIMENTS.targets[name].runs}
    if told := older_code(EXPERIMENTS, shown & GAPS.bundled.keys()):
        logger.warning(told)


def write_job_graph(dag):
    """Writes the rules of a plan that makes the report: their jobs, and which needs which."""
    jobs = list(dag.jobs)
    if all(job.rule.name != "write_report" for job in jobs):
        return
    needed = {job: dag.dependencies[job] for job in jobs}
    edges = {(before.rule.name, job.rule.name) for job in jobs for before in needed[job]}
    counts = Counter(job.rule.name for job in jobs)
    shown = {name: n for name, n in counts.items() if name not in ("all", "report")}
    kept = sorted([a, b] for a, b in edges if {a, b} <= shown.keys())
    write_json(Path(R, "job_graph.json"), {"rules": shown, "edges": kept})


def rest_between_jobs(scheduler):
    """Takes Snakemake's default limit of 100 jobs per second away; one that was asked for stays.

    With a limit every job that ends makes the scheduler look through all waiting jobs once a second
    more, from then on (Snakemake 9.27): after some hundred jobs it takes most of a core from them.
    """
    limiter = scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        scheduler.job_rate_limiter = None


def refuse_unknown_targets():
    """Ends the workflow where a name on the command line is none of a rule, with the nearest one.

    Snakemake itself would say that no rule makes a file of this name. It tells the Snakefile
    nothing of its targets (9.27), so its command line is read again, by its own parser; the quick
    look first spares that where every word is a rule or no name.
    """
    rules_here = [rule.name for rule in workflow.rules]

    def wrong(words):
        return [w for w in words if re.fullmatch(r"[a-z0-9_]+", w) and w not in rules_here]

    def unexpanded(words):
        return [w for w in words if w.startswith("~") or "$" in w]

    if workflow.remote_exec or "snakemake" not in sys.argv[0]:
        return
    ours = {Path(PACKAGE) / "Snakefile", Path(PACKAGE).parent / "Snakefile"}
    if Path(workflow.main_snakefile) not in ours:
        return  # another workflow has rules of its own
    words = [word for word in sys.argv[1:] if not word.isdigit()]
    if not wrong(words) and not unexpanded(words):
        return
    from snakemake.cli import get_argument_parser

    options, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    for name in unexpanded(options.targets):
        if not name.startswith(f"{R}/"):
            raise WorkflowError(
                f"target {name}: Snakemake takes names as they are written. results_dir is {R}: "
                "name its files by this path."
            )
    for name in wrong(options.targets):
        if not os.path.exists(name):
            raise WorkflowError(str(unknown(name, rules_here, "target")))

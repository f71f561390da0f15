"""Kills a search at a chosen moment of a trial's life, from inside, without touching the product.

Python imports this module in every process whose PYTHONPATH names its folder: the driver, and Ray's
workers, which inherit it. It does nothing unless FINRL_RAY_FAULTS names a plan, a JSON file:

    {"driver": "<file with the driver's pid>",
     "faults": [{"name": "update", "match": {"gamma": 0.9}, "phase": "update", "after_reports": 1,
                 "event": 2, "target": "worker", "signals": ["SIGKILL"]}]}

A fault belongs to the trial whose sample has the values of `match`. It strikes once, at the
`event`-th event of its phase after the trial has made `after_reports` reports in this process, and
leaves the file `fired-<name>` beside the plan. Targets: `worker`, `driver`, `raylet`, `cluster`
(all Ray processes), `machine` (and the driver), `group` (the driver's process group), `hold`
(nothing: the trial stands still), `meet` (nothing: it waits for all others of the plan that are to
meet), `note` (nothing but the file). Phases:

    setup       the trial's model has been built
    rollout     the env has stepped, the transition is not stored
    update      an optimizer has stepped, the update goes on
    evaluation  within an episode on the validation window
    save        the model of a checkpoint has been written, the rest has not
    upload      half of a checkpoint is on the storage, its last file cut
    persisted   the checkpoint is on the storage, the driver has not been told
    report      a result is about to be handed to Ray

Steps and updates that are taken many at a time in compiled code are events one by one: a run of
steps is made to end at the one that a fault waits for. Compiled updates cannot be, and a fault
strikes behind the call, before what it has learned is counted.

With FINRL_RAY_SEEN, the name of a folder, each start of a trial in a process leaves a file there:
where it ran, from when to when, and which GPU it was shown.
"""

import importlib.machinery
import inspect
import json
import os
import signal
import sys
import time
from pathlib import Path

PLAN_VARIABLE = "FINRL_RAY_FAULTS"
SEEN_VARIABLE = "FINRL_RAY_SEEN"
SECOND_SIGNAL_AFTER_S = 0.4


class Trial:
    """What this process is training: its faults, its reports, its events since the last report."""

    def __init__(self):
        self.faults = []
        self.plan = None
        self.reports = 0
        self.events = {}
        self.evaluating = False
        self.updating = False

    def begin(self, sample):
        if PLAN_VARIABLE not in os.environ:
            return
        path = Path(os.environ[PLAN_VARIABLE])
        plan = json.loads(path.read_text(encoding="utf-8"))
        matching = [
            fault
            for fault in plan["faults"]
            if all(sample.get(name) == value for name, value in fault["match"].items())
        ]
        self.__init__()
        self.plan, self.faults = plan, matching

    def event(self, phase, before=None, count=1):
        """Count one event or more; strike if one is a fault's, after `before`."""
        self.events[phase] = self.events.get(phase, 0) + count
        for fault in self.faults:
            due = self.reports >= fault["after_reports"] and fault["phase"] == phase
            # an event late in the process counts too, should the count have been passed
            if due and self.events[phase] >= fault["event"] and self.mark(fault):
                if before is not None:
                    before()
                strike(fault, self.plan)

    def events_left(self, phase, most):
        """Return the number, `most` at most, of the next event at which a fault strikes."""
        left = [
            max(1, fault["event"] - self.events.get(phase, 0))
            for fault in self.faults
            if fault["phase"] == phase
            and self.reports >= fault["after_reports"]
            and not self.marker(fault).exists()
        ]
        return min([most, *left])

    def will_strike(self, phase):
        """Whether the next event of a phase is a fault's that has not struck."""
        return self.events_left(phase, 2) == 1

    def reported(self):
        self.reports += 1
        self.events = {}

    def marker(self, fault):
        return Path(os.environ[PLAN_VARIABLE]).parent / f"fired-{fault['name']}"

    def mark(self, fault):
        try:
            with self.marker(fault).open("x", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {time.time()} {self.events[fault['phase']]}")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True


TRIAL = Trial()


def strike(fault, plan):
    """Send the fault's signals to its target; to `hold` is to wait for a kill from outside."""
    while fault["target"] == "hold":
        time.sleep(1)
    if fault["target"] == "meet":
        meeting = [one for one in plan["faults"] if one["target"] == "meet"]
        while not all(TRIAL.marker(one).exists() for one in meeting):
            time.sleep(0.05)
        return
    if fault["target"] == "note":
        return
    signals = [getattr(signal, name) for name in fault["signals"]]
    for position, number in enumerate(signals):
        if position:
            time.sleep(SECOND_SIGNAL_AFTER_S)
        for pid in targets(fault["target"], plan):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # gone by an earlier signal


def targets(name, plan):
    """Return the processes to signal, this one last."""
    import psutil

    if name == "worker":
        return [os.getpid()]
    if name == "raylet":
        parent = psutil.Process().parent()
        if parent is None or "raylet" not in parent.name():
            raise RuntimeError(f"the worker's parent is {parent}, no raylet")
        return [parent.pid]
    driver = int(Path(plan["driver"]).read_text(encoding="utf-8"))
    if name == "driver":
        return [driver]
    if name == "group":  # as a batch system ends a job
        group = os.getpgid(driver)
        return [one.pid for one in psutil.process_iter() if group_of(one.pid) == group]
    # all Ray processes of the session are below the driver that started it
    below = [process.pid for process in psutil.Process(driver).children(recursive=True)]
    everyone = below if name == "cluster" else [driver, *below]
    return [pid for pid in everyone if pid != os.getpid()] + [os.getpid()]


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def patch_training(module):
    train_agent, build_model = module.train_agent, module.build_model

    def train(sample, *arguments, **keywords):
        TRIAL.begin(sample)
        note = note_start(sample)
        try:
            return train_agent(sample, *arguments, **keywords)
        finally:
            note_end(note)

    def build(*arguments, **keywords):
        model = build_model(*arguments, **keywords)
        TRIAL.event("setup")
        return model

    train.__name__ = train.__qualname__ = "train_agent"
    build.__name__ = build.__qualname__ = "build_model"
    train.__module__ = build.__module__ = module.__name__
    module.train_agent, module.build_model = train, build


def note_start(sample):
    """Leave a file that says where and from when this trial runs; return it, None if not asked."""
    if SEEN_VARIABLE not in os.environ:
        return None
    import ray

    started = time.time()
    note = Path(os.environ[SEEN_VARIABLE]) / f"{os.getpid()}-{started:.6f}.json"
    content = {
        "sample": {name: value for name, value in sample.items() if isinstance(value, int | float)},
        "node": ray.util.get_node_ip_address(),
        "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "started": started,
        "ended": None,
    }
    write_whole(note, content)
    return note


def note_end(note):
    if note is not None:
        content = json.loads(note.read_text(encoding="utf-8")) | {"ended": time.time()}
        write_whole(note, content)


def write_whole(path, content):
    """Write a file that is never seen half written."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(path)


def patch_evaluation(module):
    for value in list(vars(module).values()):
        if isinstance(value, type) and "evaluate_now" in vars(value):
            wrap_flag(value, "evaluate_now", "evaluating")
            return
    raise RuntimeError(f"no class with evaluate_now in {module.__name__}")


def wrap_flag(owner, method, flag):
    original = getattr(owner, method)

    def flagged(self, *arguments, **keywords):
        setattr(TRIAL, flag, True)
        try:
            return original(self, *arguments, **keywords)
        finally:
            setattr(TRIAL, flag, False)

    flagged.__name__ = method
    setattr(owner, method, flagged)


def patch_vec_env(module):
    original = module.VecEnv.step

    def step(self, actions):
        result = original(self, actions)
        TRIAL.event("evaluation" if TRIAL.evaluating else "rollout")
        return result

    module.VecEnv.step = step


def patch_base_class(module):
    from torch.optim.optimizer import register_optimizer_step_post_hook

    original = module.BaseAlgorithm.save

    def save(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        TRIAL.event("save")

    module.BaseAlgorithm.save = save

    def after_optimizer_step(*_):
        if TRIAL.updating:
            TRIAL.event("update")

    register_optimizer_step_post_hook(after_optimizer_step)


def patch_flat_optimizers(module):
    # an optimizer is made one of these by its class, so that torch has not put its hooks around
    # the step; marked as torch marks what it has, or a loaded optimizer would count twice
    step = module._FlatOptimizer.step

    def counted(self, *arguments, **keywords):
        result = step(self, *arguments, **keywords)
        if TRIAL.updating:
            TRIAL.event("update")
        return result

    counted.hooked = True
    module._FlatOptimizer.step = counted


def patch_compiled_rollouts(module):
    run_steps = module.run_steps

    def run(first, stop, whole, *arguments):
        near = first + TRIAL.events_left("rollout", stop - first)
        # a run that is cut short is one that Python sees the end of
        last, ending, status = run_steps(first, near, whole and near == stop, *arguments)
        TRIAL.event("rollout", count=last - first + (ending == module.TAKEN and last < near))
        return last, ending, status

    module.run_steps = run


def patch_compiled_off_policy(module):
    run_steps = module.run_steps

    def run(n_steps, *arguments):
        near = TRIAL.events_left("rollout", n_steps)
        last, ending, status = run_steps(near, *arguments)
        TRIAL.event("rollout", count=last + (ending == module.TAKEN))
        return last, ending, status

    module.run_steps = run


def patch_compiled_episodes(module):
    run_steps = module.run_steps
    place = list(inspect.signature(run_steps.py_func).parameters).index("observations")

    def run(*arguments):
        if not TRIAL.evaluating:
            return run_steps(*arguments)
        # a run ends where there is no room for what is seen next
        room = arguments[place]
        room = room[: 1 + TRIAL.events_left("evaluation", len(room) - 1)]
        n_steps, status = run_steps(*arguments[:place], room, *arguments[place + 1 :])
        TRIAL.event("evaluation", count=n_steps)
        return n_steps, status

    module.run_steps = run


def patch_compiled_epochs(module):
    # not `run_epoch`: an update calls the machine code behind it, which nothing can stand in for
    run_epoch = module.Update.run

    def run(*arguments, **keywords):
        parts, stopped = run_epoch(*arguments, **keywords)
        TRIAL.event("update", count=len(parts))
        return parts, stopped

    module.Update.run = run


def patch_compiled_updates(module):
    # not `run_sac` and `run_td3`, whose machine code is called as that of `run_epoch` is
    for updates in (module.SACUpdates, module.TD3Updates):
        count_updates(updates, module.n_updates_of)


def count_updates(updates, n_updates_of):
    run_updates = updates.run

    def run(self, transitions, *arguments, **keywords):
        losses = run_updates(self, transitions, *arguments, **keywords)
        TRIAL.event("update", count=n_updates_of(transitions))
        return losses

    updates.run = run


def patch_algorithm(module):
    own = ("ExactA2C", "ExactPPO", "ExactTD3", "ExactSAC")
    of_contrib = ("TQC", "CrossQ", "RecurrentPPO", "TRPO")
    for name in ("A2C", "PPO", "TD3", "SAC", "DQN", *of_contrib, *own):
        if hasattr(module, name) and "train" in vars(getattr(module, name)):
            wrap_flag(getattr(module, name), "train", "updating")


def patch_storage(module):
    copy_files = module._pyarrow_fs_copy_files
    persist = module.StorageContext.persist_current_checkpoint

    def copy(source, destination, **keywords):
        local = keywords.get("destination_filesystem")
        is_checkpoint = Path(str(destination)).name.startswith("checkpoint_")
        if is_checkpoint and TRIAL.will_strike("upload"):
            if local is None or local.type_name != "local":
                raise RuntimeError("half an upload is written to local folders only")
            TRIAL.event("upload", before=lambda: half_copy(Path(source), Path(destination)))
        elif is_checkpoint:
            TRIAL.event("upload")
        return copy_files(source, destination, **keywords)

    def persist_then_event(self, checkpoint):
        persisted = persist(self, checkpoint)
        TRIAL.event("persisted")
        return persisted

    module._pyarrow_fs_copy_files = copy
    module.StorageContext.persist_current_checkpoint = persist_then_event


def half_copy(source, destination):
    files = sorted(path for path in source.rglob("*") if path.is_file())
    half = files[: (len(files) + 1) // 2]
    for path in half:
        target = destination / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        target.write_bytes(content if path != half[-1] else content[: len(content) // 2])


def patch_trainable(module):
    report = module.tune.report

    def counted(*arguments, **keywords):
        TRIAL.event("report")
        report(*arguments, **keywords)
        TRIAL.reported()

    module.tune.report = counted


PATCHES = {
    "finrl_ray.training.agent": patch_training,
    "finrl_ray.search.worker.trainable": patch_trainable,
    "finrl_ray.agents.callbacks.evaluation": patch_evaluation,
    "stable_baselines3.common.base_class": patch_base_class,
    "stable_baselines3.common.vec_env.base_vec_env": patch_vec_env,
    "stable_baselines3.a2c.a2c": patch_algorithm,
    "stable_baselines3.ppo.ppo": patch_algorithm,
    "stable_baselines3.td3.td3": patch_algorithm,
    "stable_baselines3.dqn.dqn": patch_algorithm,
    "sb3_contrib.tqc.tqc": patch_algorithm,
    "sb3_contrib.crossq.crossq": patch_algorithm,
    "sb3_contrib.ppo_recurrent.ppo_recurrent": patch_algorithm,
    "sb3_contrib.trpo.trpo": patch_algorithm,
    "stable_baselines3.sac.sac": patch_algorithm,
    "finrl_ray.learners.on_policy.exact": patch_algorithm,
    "finrl_ray.learners.off_policy.exact": patch_algorithm,
    "finrl_ray.learners.flat.optimizers": patch_flat_optimizers,
    "finrl_ray.learners.on_policy.compiled_rollouts": patch_compiled_rollouts,
    "finrl_ray.learners.off_policy.compiled_rollouts": patch_compiled_off_policy,
    "finrl_ray.agents.compiled_episodes": patch_compiled_episodes,
    "finrl_ray.learners.on_policy.updates": patch_compiled_epochs,
    "finrl_ray.learners.off_policy.updates": patch_compiled_updates,
    "ray.train._internal.storage": patch_storage,
}


class PatchingFinder:
    """Import hook: lets the ordinary finders find a module, and patches it once it is executed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        patch = PATCHES.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get(PLAN_VARIABLE) or os.environ.get(SEEN_VARIABLE):
    sys.meta_path.insert(0, PatchingFinder)

"""The cluster files against their schemas, and what they must never do."""

import ast
import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from repository import REPOSITORY

ROOT = REPOSITORY
AWS = ROOT / "cluster.yaml"
LOCAL = ROOT / "docs" / "clusters" / "cluster.local.yaml"
KUBERAY = ROOT / "docs" / "clusters" / "kuberay.rayjob.yaml"
KUBERNETES = "1.30"
SCHEMA = json.loads((Path(__file__).parent / "rayjob_schema.json").read_text(encoding="utf-8"))
LAUNCHED = pytest.mark.parametrize("path", [AWS, LOCAL], ids=["aws", "local"])
RAY_PIN = re.search(
    r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
)


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def ray_version() -> str:
    assert RAY_PIN, "constraints.txt must pin ray"
    return RAY_PIN.group(1)


def manifests() -> dict[str, dict[str, Any]]:
    return {m["kind"]: m for m in yaml.safe_load_all(KUBERAY.read_text(encoding="utf-8"))}


def pod_templates() -> dict[str, dict[str, Any]]:
    spec = manifests()["RayJob"]["spec"]
    cluster = spec["rayClusterSpec"]
    return {
        "submitter": spec["submitterPodTemplate"],
        "head": cluster["headGroupSpec"]["template"],
        **{group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]},
    }


def start_commands(config: dict[str, Any]) -> list[str]:
    lists = (config["head_start_ray_commands"], config["worker_start_ray_commands"])
    return [command for commands in lists for command in commands if "ray start" in command]


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from strings(key)
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    else:
        yield str(node)


# ---- schemas ------------------------------------------------------------------------------------


@LAUNCHED
def test_rays_own_check_passes(path: Path) -> None:
    validate_config(prepare_config(read(path)))


@LAUNCHED
@pytest.mark.parametrize(
    ("key", "value"), [("max_workerz", 3), ("idle_timeout_minutes", "soon"), ("cluster_name", 5)]
)
def test_rays_own_check_would_notice(path: Path, key: str, value: Any) -> None:
    config = {**read(path), key: value}
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


def test_a_misspelt_head_would_be_noticed() -> None:
    config = prepare_config({**read(AWS), "head_node_type": "haed"})
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(config)


@pytest.mark.parametrize("kind", ["ConfigMap", "PersistentVolumeClaim", "NetworkPolicy"])
def test_kubernetes_objects_follow_their_schemas(kind: str) -> None:
    kubernetes_validate.validate(manifests()[kind], KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["submitter", "head", "cpu"])
def test_pod_templates_follow_the_schema_of_pods(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_templates()[name]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    wrong = copy.deepcopy(pod)
    wrong["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_ray_job_has_only_known_fields() -> None:
    job = manifests()["RayJob"]
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(job, SCHEMA)
    for place in ("spec", "rayClusterSpec"):
        wrong = copy.deepcopy(job)
        target = wrong["spec"] if place == "spec" else wrong["spec"]["rayClusterSpec"]
        target["autoscaling"] = True
        with pytest.raises(jsonschema.ValidationError, match="autoscaling"):
            jsonschema.validate(wrong, SCHEMA)


def test_the_config_in_the_manifest_is_one_of_ours() -> None:
    from finrl_ray.config.load import parse_config

    config = parse_config(yaml.safe_load(manifests()["ConfigMap"]["data"]["config.yaml"]))
    mounts = pod_templates()["cpu"]["spec"]["containers"][0]["volumeMounts"]
    assert config.search.storage_path in {mount["mountPath"] for mount in mounts}
    assert (
        "/etc/finrl_ray/config.yaml --address auto" in manifests()["RayJob"]["spec"]["entrypoint"]
    )


# ---- nothing is open to the world ---------------------------------------------------------------


@pytest.mark.parametrize("path", [AWS, LOCAL, KUBERAY], ids=["aws", "local", "kuberay"])
def test_no_file_names_an_address_of_the_world(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for text in strings(documents):
        assert "0.0.0.0" not in text
        assert "::/0" not in text


@LAUNCHED
def test_the_dashboard_listens_on_loopback(path: Path) -> None:
    head, worker = start_commands(read(path))
    assert "--head" in head
    assert re.findall(r"--dashboard-host=(\S+)", head) == ["127.0.0.1"]
    assert "--dashboard-host" not in worker
    assert "ray-client-server" not in head


def test_the_security_group_adds_no_rule_to_rays_own() -> None:
    provider = read(AWS)["provider"]
    assert "IpPermissions" not in provider["security_group"]
    for node_type in read(AWS)["available_node_types"].values():
        assert "NetworkInterfaces" not in node_type["node_config"]


def test_rays_own_rules_are_ssh_and_the_cluster_itself() -> None:
    """What our documentation says of the security group, read in Ray."""
    import ray

    # the module itself cannot be imported without boto3
    source = Path(ray.__file__).parent / "autoscaler" / "_private" / "aws" / "config.py"
    wanted = re.compile(r"_create_default_\w*inbound_rules$")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and wanted.match(node.name)
    ]
    names: dict[str, Any] = {"itertools": itertools}
    exec(compile(tree, str(source), "exec"), names)  # Ray's own text
    rules = names["_create_default_inbound_rules"]({"sg-1"})
    world = [(r["FromPort"], r["ToPort"], r["IpRanges"]) for r in rules if r.get("IpRanges")]
    assert world == [(22, 22, [{"CidrIp": "0.0.0.0/0"}])]
    inside = [rule["UserIdGroupPairs"] for rule in rules if rule.get("UserIdGroupPairs")]
    assert inside == [[{"GroupId": "sg-1"}]]


def test_no_port_of_the_containers_is_published() -> None:
    for option in read(AWS)["docker"]["run_options"]:
        assert not re.match(r"(-p|--publish|--network|--net|--privileged)\b", option)


def test_kubernetes_lets_nobody_in_from_outside() -> None:
    cluster = manifests()["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["enableIngress"] is False
    policy = manifests()["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    (rule,) = policy["ingress"]
    for source in rule["from"]:
        assert source["podSelector"]["matchLabels"], "an empty selector would let every pod in"
        assert "ipBlock" not in source
    selected = policy["podSelector"]["matchLabels"].items()
    for name, template in pod_templates().items():
        assert selected <= template["metadata"]["labels"].items(), name
        for container in template["spec"]["containers"]:
            assert all("hostPort" not in port for port in container.get("ports", []))
        assert not template["spec"].get("hostNetwork")


# ---- tokens -------------------------------------------------------------------------------------


@LAUNCHED
def test_every_start_presents_the_token(path: Path) -> None:
    commands = start_commands(read(path))
    assert len(commands) == 2
    for command in commands:
        before = command[: command.index("ray start")]
        assert re.search(r"\bexport RAY_AUTH_MODE=token\b", before)


@LAUNCHED
def test_the_token_is_mounted_and_closed_before_ray_starts(path: Path) -> None:
    config = read(path)
    mounts = {remote: local for remote, local in config["file_mounts"].items() if "token" in remote}
    (remote,) = mounts
    assert mounts[remote] == "~/.ray/auth_token"
    assert remote.endswith("/.ray/auth_token")
    assert config["setup_commands"][0] == "chmod 700 ~/.ray && chmod 600 ~/.ray/auth_token"


def test_kubernetes_pods_present_the_token() -> None:
    assert manifests()["RayJob"]["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    for name in ("head", "cpu"):
        (container,) = pod_templates()[name]["spec"]["containers"]
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]


@pytest.mark.parametrize("path", [AWS, LOCAL, KUBERAY], ids=["aws", "local", "kuberay"])
def test_no_file_holds_a_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"AKIA[0-9A-Z]{16}|aws_secret_access_key|[0-9a-f]{64}", text, re.I)


# ---- machines and versions ----------------------------------------------------------------------


def test_the_image_has_the_pinned_ray() -> None:
    image = read(AWS)["docker"]["image"]
    name, python = re.fullmatch(r"rayproject/ray:(\d+\.\d+\.\d+)-py(\d+)-cpu", image).groups()
    assert name == ray_version()
    assert int(python) >= 310


def test_kubernetes_runs_the_pinned_ray() -> None:
    assert manifests()["RayJob"]["spec"]["rayClusterSpec"]["rayVersion"] == ray_version()
    for template in pod_templates().values():
        for container in template["spec"]["containers"]:
            assert container["image"].rpartition(":")[2] == ray_version()


def test_the_head_takes_no_trials_and_is_on_demand() -> None:
    config = read(AWS)
    types = config["available_node_types"]
    head = types[config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    workers = [value for name, value in types.items() if name != config["head_node_type"]]
    assert workers
    for worker in workers:
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["min_workers"] == 0
        assert worker["max_workers"] > 0
    assert config["max_workers"] == sum(worker["max_workers"] for worker in workers)
    assert 0 < config["idle_timeout_minutes"] <= 30
    assert "--num-cpus=0" in start_commands(read(LOCAL))[0]
    head_group = manifests()["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head_group["rayStartParams"] == {"num-cpus": "0"}


def test_a_cluster_that_grows_says_how_far() -> None:
    config = read(AWS)
    worker = config["available_node_types"]["worker"]
    # the vCPUs of this size, in AWS's list of instance types
    assert worker["node_config"]["InstanceType"] == "c6i.4xlarge"
    (said,) = re.findall(r"FINRL_RAY_MAX_CPUS=(\d+)", " ".join(start_commands(config)))
    assert int(said) == worker["max_workers"] * 16
    (group,) = manifests()["RayJob"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    (head,) = pod_templates()["head"]["spec"]["containers"]
    most = group["maxReplicas"] * int(container["resources"]["limits"]["cpu"])
    assert {"name": "FINRL_RAY_MAX_CPUS", "value": str(most)} in head["env"]


@LAUNCHED
def test_the_shared_storage_is_known_to_every_node(path: Path) -> None:
    storages = {
        found
        for command in start_commands(read(path))
        for found in re.findall(r"FINRL_RAY_STORAGE=([^\s;]+)", command)
    }
    assert storages == {"/mnt/finrl_ray"}
    if path == AWS:
        commands = " ".join(read(path)["initialization_commands"])
        assert "mount -t nfs4" in commands
        assert "/mnt/finrl_ray" in commands
        assert "-v /mnt/finrl_ray:/mnt/finrl_ray" in read(path)["docker"]["run_options"]


@LAUNCHED
def test_what_is_sent_along_is_there_and_is_installed(path: Path) -> None:
    config = read(path)
    sent = {remote.rpartition("/")[2]: local for remote, local in config["file_mounts"].items()}
    for name, local in sent.items():
        if name != "auth_token":
            assert (ROOT / local).exists(), local
    install = " ".join(config["setup_commands"])
    assert "-c constraints.txt -e ." in install
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "finrl_ray"} <= set(sent)

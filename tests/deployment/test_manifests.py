"""The manifests and the compose file: what their schemas (`make check-deploy`) cannot know of this application."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package more

from app.cli import COMMANDS
from app.config import Settings, load, settings
from app.sections import SettingsError
from tests.deployment.dockerfile import ROOT

Document = dict[str, Any]

FOLDER = ROOT / "deploy" / "kubernetes"
OURS = ("api", "worker", "relay", "scheduler", "migrate")


def documents() -> Iterator[Document]:
    """Yield everything that is applied to a cluster."""
    for path in sorted(FOLDER.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from yaml.safe_load_all(path.read_text())


DOCUMENTS: dict[tuple[str, str], Document] = {(one["kind"], one["metadata"]["name"]): one for one in documents()}
PODS: dict[str, Document] = {
    name: one["spec"]["template"]["spec"] for (kind, name), one in DOCUMENTS.items() if kind in {"Deployment", "Job"}
}
COMPOSE: Document = yaml.safe_load((ROOT / "compose.yaml").read_text())
NAME: str = COMPOSE["name"]


def in_cluster(*, filled: bool) -> Settings:
    """Return the settings of a pod; those that are secret as they stand in the example, or filled in."""
    secret = DOCUMENTS["Secret", f"{NAME}-secrets"]["stringData"]
    if filled:
        secret = {name: text.replace("change-me", "n7Qx0vTz4LkW") for name, text in secret.items()}
    return load(environ=DOCUMENTS["ConfigMap", f"{NAME}-settings"]["data"] | secret)


def test_every_process_has_a_pod_of_the_one_image() -> None:
    """Api, worker, relay, scheduler and migrate differ by their command alone."""
    assert set(PODS) == {*OURS, "pgbouncer"}
    containers = {name: PODS[name]["containers"][0] for name in OURS}
    assert {one["image"] for one in containers.values()} == {NAME}
    assert {name: one["args"][0] for name, one in containers.items()} == {name: name for name in OURS} | {
        "api": "serve"
    }
    assert {one["args"][0] for one in containers.values()} < set(COMMANDS)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_little(name: str) -> None:
    """No root, no writing but where it must, no way up, no account of the cluster's, no variables of Services."""
    pod, [container] = PODS[name], PODS[name]["containers"]
    assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == (70 if name == "pgbouncer" else 10001)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]


def test_the_settings_are_known_and_the_example_is_refused() -> None:
    """A typo in a name, or a secret that nobody filled in, stops the boot."""
    found = in_cluster(filled=True)
    assert (found.env, found.tasks.mode, found.database.pooler) == ("production", "worker", True)
    assert "@pgbouncer:6432/" in found.database.url
    assert "@pgbouncer:" not in found.database.migrate_url
    with pytest.raises(SettingsError, match="is a placeholder"):
        in_cluster(filled=False)


def test_a_pod_has_the_time_to_stop() -> None:
    """The grace is longer than notice and drain together."""
    notice = in_cluster(filled=True).server.notice_seconds
    for name in ("api", "worker"):
        arguments = PODS[name]["containers"][0]["args"]
        drain = int(arguments[arguments.index("--drain") + 1])
        assert PODS[name]["terminationGracePeriodSeconds"] >= notice + drain + 10
    assert notice >= 5


def test_what_disturbs_leaves_one_standing() -> None:
    """What has more than one replica has a budget, which finds its pods, and is replaced one after the other."""
    for name in ("api", "worker", "relay", "pgbouncer"):
        deployment = DOCUMENTS["Deployment", name]["spec"]
        assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        budget = DOCUMENTS["PodDisruptionBudget", name]["spec"]
        assert budget["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
        assert budget["maxUnavailable"] == 1
        assert deployment.get("replicas", 2) == 2


def test_workers_are_scaled_by_every_queue() -> None:
    """KEDA looks at each list that RQ keeps, and at the worker's deployment."""
    scaling = DOCUMENTS["ScaledObject", "worker"]["spec"]
    assert scaling["scaleTargetRef"]["name"] == "worker"
    assert "replicas" not in DOCUMENTS["Deployment", "worker"]["spec"]
    lists = [trigger["metadata"]["listName"] for trigger in scaling["triggers"]]
    assert lists == [f"rq:queue:{name}" for name in settings.tasks.queues]


def test_each_folder_lists_what_it_holds() -> None:
    """No manifest is forgotten, and both folders take the image of one version."""
    versions = set()
    for folder in ("migrate", "run", "keda"):
        listed = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
        names = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
        assert set(listed["resources"]) == names
        versions |= {image["newTag"] for image in listed.get("images", ())}
    assert len(versions) == 1


def test_the_compose_file_runs_the_same_processes() -> None:
    """The same image and commands, a file system that is not written, and settings that are known."""
    services = {name: COMPOSE["services"][name] for name in OURS}
    assert {one["image"] for one in services.values()} == {f"{NAME}:latest"}
    assert all(one["read_only"] and one["cap_drop"] == ["ALL"] for one in services.values())
    assert {one["command"][0] for one in services.values()} == {"serve", *OURS} - {"api"}
    found = load(environ=dict(filled(services["api"]["environment"])))
    assert (found.env, found.tasks.mode) == ("production", "worker")


def filled(environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield variables of the compose file as it would fill them in, in the image."""
    yield "APP_ENV", "production"
    for name, text in environment.items():
        before, _, rest = text.partition("${")
        yield name, before + "n7Qx0vTz4LkWn7Qx0vTz4LkWn7Qx0vTz4LkW" + rest.partition("}")[2] if rest else text

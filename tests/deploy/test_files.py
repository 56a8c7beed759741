"""What can be known of the deployment's files without an engine or a cluster to run them.

The programs come with the extra `deploy-checks`; .ci/run installs it. Without one of them, its checks are skipped.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator_client.cli import main
from orchestrator_client.contract.environment import FILE_SUFFIX

ROOT = Path(__file__).parents[2]
IMAGE = "orchestrator:0.1.0"

KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "google": "GOOGLE_API_KEY"}


def program(name: str) -> str:
    """A program of the extra, or of this machine."""
    beside = Path(sys.executable).with_name(name)
    if found := str(beside) if beside.exists() else shutil.which(name):
        return found
    pytest.skip(f"no {name}: pip install -e '.[deploy-checks]'")


def printed(*command: str, folder: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


class TestImage:
    def test_a_linter_of_others_finds_nothing(self) -> None:
        assert printed(program("hadolint"), "--failure-threshold", "info", "deploy/Dockerfile") == ""

    def test_it_is_built_of_the_product_alone(self) -> None:
        """Whatever the context holds, keys and history do not get into a layer."""
        lines = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        assert rules[0] == "*"
        copied = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
        assert copied == {"pyproject.toml", "README.md", "LICENSE", "orchestrator_client", "orchestrator_worker"}
        assert all((ROOT / name).exists() for name in copied)


@cache
def compose() -> dict[str, Any]:
    """compose.yaml as Docker Compose reads it, with every profile and the defaults of its variables."""
    command = [program("docker-compose"), "--profile", "*", "config", "--format", "json", "--no-path-resolution"]
    return json.loads(printed(*command))


@cache
def kubernetes(part: str = "fleet") -> tuple[dict[str, Any], ...]:
    """The resources of a part of deploy/k8s, as kubectl would apply them."""
    from ruamel.yaml import YAML

    rendered = printed(program("kubectl"), "kustomize", f"deploy/k8s/{part}")
    return tuple(YAML(typ="safe").load_all(rendered))


class TestCompose:
    def test_every_service_is_confined(self) -> None:
        for name, service in compose()["services"].items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert "privileged" not in service, name

    def test_what_stays_is_watched(self) -> None:
        services = compose()["services"]
        assert {name for name, each in services.items() if "healthcheck" not in each} == {"client"}
        assert {name for name, each in services.items() if each["restart"] != "unless-stopped"} == {"client"}

    def test_only_flower_is_published_and_to_this_machine(self) -> None:
        services = compose()["services"]
        published = {name: each["ports"] for name, each in services.items() if "ports" in each}
        assert {name: [port["host_ip"] for port in ports] for name, ports in published.items()} == {
            "flower": ["127.0.0.1"]
        }
        assert list(services["redis"]["networks"]) == ["fleet"]
        assert compose()["networks"]["fleet"]["internal"] is True

    def test_redis_keeps_what_it_is_told(self) -> None:
        redis = compose()["services"]["redis"]
        assert "--appendonly yes" in redis["command"][-1]
        assert "--maxmemory-policy noeviction" in redis["command"][-1]
        assert [volume["target"] for volume in redis["volumes"]] == ["/data"]

    def test_secrets_are_files_and_each_has_those_it_uses(self) -> None:
        for name, service in compose()["services"].items():
            environment = service.get("environment", {})
            used = {value for variable, value in environment.items() if variable.endswith(FILE_SUFFIX)}
            granted = {secret["target"] for secret in service["secrets"]}
            assert granted == used or name == "redis", name
            assert not {variable for variable in environment if variable in KEYS.values()}, name
        for provider, key in KEYS.items():
            environment = compose()["services"][f"model-{provider}"]["environment"]
            assert {variable for variable in environment if variable.endswith("_API_KEY_FILE")} == {f"{key}_FILE"}

    def test_the_secrets_are_those_that_the_readme_makes(self) -> None:
        told = (ROOT / "deploy/README.md").read_text()
        assert all(f"secrets/{name}" in told for name in compose()["secrets"])


class TestKubernetes:
    @pytest.mark.parametrize("part", ["fleet", "scale/hpa", "scale/keda"])
    def test_every_resource_fits_its_schema(self, part: str) -> None:
        validate = pytest.importorskip("kubernetes_validate", reason="pip install -e '.[deploy-checks]'")
        for resource in kubernetes(part):
            if not resource["apiVersion"].startswith(
                "keda.sh/"
            ):  # a type of its own, of which the schemas know nothing
                validate.validate(resource, "1.31", strict=True)

    @pytest.mark.parametrize("part", ["scale/hpa", "scale/keda"])
    def test_every_kind_of_worker_grows_by_its_own_queue(self, part: str) -> None:
        deployments = {each["metadata"]["name"] for each in kubernetes(part) if each["kind"] == "Deployment"}
        scalers = [each for each in kubernetes(part) if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
        targets = {each["spec"]["scaleTargetRef"]["name"]: json.dumps(each["spec"]) for each in scalers}
        assert set(targets) == deployments - {"flower"}
        for target, spec in targets.items():
            assert f'"{target.replace("-", ".")}"' in spec, target

    def test_it_grows_by_metrics_that_there_are(self) -> None:
        told = set(re.findall(r"orchestrator_[a-z_]+", (ROOT / "docs/metrics.md").read_text()))
        asked = [json.dumps(each) for part in ("scale/hpa", "scale/keda") for each in kubernetes(part)]
        names = set(re.findall(r"orchestrator_[a-z_]+", "".join(asked)))
        assert names
        assert names <= told

    def test_every_kustomization_builds(self) -> None:
        for file in sorted((ROOT / "deploy/k8s").rglob("kustomization.yaml")):
            assert printed(program("kubectl"), "kustomize", str(file.parent)), file

    def test_every_container_is_confined(self) -> None:
        for pod in pods():
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["containers"]:
                security = container["securityContext"]
                assert security["readOnlyRootFilesystem"] is True
                assert security["allowPrivilegeEscalation"] is False
                assert security["capabilities"] == {"drop": ["ALL"]}
                assert container["resources"]["limits"]["memory"]

    def test_a_worker_has_more_time_to_end_than_it_takes(self) -> None:
        settings = next(each["data"] for each in kubernetes() if each["metadata"]["name"] == "orchestrator-settings")
        for pod in workers():
            assert pod["terminationGracePeriodSeconds"] >= int(settings["ORCHESTRATOR_SHUTDOWN_SECONDS"]) + 10

    def test_a_stuck_worker_is_found_by_what_it_consumes(self) -> None:
        for pod in workers():
            [container] = pod["containers"]
            for probe in ("startupProbe", "livenessProbe"):
                assert container[probe]["exec"]["command"] == ["orchestrator", "worker", "--probe"]

    def test_each_provider_s_workers_have_its_key_alone(self) -> None:
        keys = {
            container["args"][-1]: [
                item["key"]
                for volume in pod["volumes"]
                for item in volume.get("secret", {}).get("items", ())
                if item["key"].endswith("_api_key")
            ]
            for pod in workers()
            for container in pod["containers"]
        }
        assert keys == {"tool,control": [], **{f"model.{name}": [f"{name}_api_key"] for name in KEYS}}


def pods() -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"] for each in kubernetes() if each["kind"] in ("Deployment", "StatefulSet")]


def workers() -> list[dict[str, Any]]:
    return [pod for pod in pods() if pod["containers"][0].get("args", [""])[0] == "worker"]


class TestBoth:
    def test_their_image_and_commands_are_the_product_s(self) -> None:
        """Each command line is one that the command line knows."""
        services = [each for each in compose()["services"].values() if each["image"].startswith("orchestrator")]
        containers = [container for pod in pods() for container in pod["containers"] if "args" in container]
        assert {each["image"] for each in (*services, *containers)} == {IMAGE}
        lines = {
            *(tuple(each["command"]) for each in services),
            *(tuple(each["args"]) for each in containers),
            ("worker", "--probe"),
        }
        for line in sorted(lines):
            context = main.make_context("orchestrator", [line[0]], resilient_parsing=True)
            command = main.get_command(context, line[0])
            assert command is not None, line
            command.make_context(line[0], list(line[1:]), parent=context)

    def test_the_version_is_the_package_s(self) -> None:
        version = CliRunner().invoke(main, ["--version"]).output.split()[-1]
        assert IMAGE.endswith(f":{version}")
        assert importlib.metadata.version("orchestrator") == version

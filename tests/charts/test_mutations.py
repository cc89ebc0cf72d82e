"""The properties can fail: each manifest here is one that was rendered, with one thing made worse."""

import copy

import pytest
from cluster import of_kind, sidecar
from properties import ALL, faults


def one(manifests, kind, position=0):
    return of_kind(manifests, kind)[position]


def tagwarden(manifests):
    return sidecar(manifests)[1]


def feast(manifests):
    return [c for c in sidecar(manifests)[0]["containers"] if c["name"].startswith("feast")][0]


MUTATIONS = {
    "no securityContext": ("everything", lambda m: tagwarden(m).pop("securityContext"), "has no securityContext"),
    "one of the init container": (
        "everything",
        lambda m: sidecar(m)[0]["initContainers"][0].pop("securityContext"),
        "wait has no securityContext",
    ),
    "one of the test pod": (
        "gateway",
        lambda m: one(m, "Pod")["spec"]["containers"][0].pop("securityContext"),
        "reach has no securityContext",
    ),
    "a writable root": (
        "gateway",
        lambda m: tagwarden(m)["securityContext"].update(readOnlyRootFilesystem=False),
        "readOnlyRootFilesystem is False",
    ),
    "root": ("gateway", lambda m: tagwarden(m)["securityContext"].update(runAsUser=0), "runAsUser is 0"),
    "a capability": (
        "parent",
        lambda m: tagwarden(m)["securityContext"]["capabilities"].update(drop=["NET_RAW"]),
        "capabilities is",
    ),
    "more privileges": (
        "gateway",
        lambda m: tagwarden(m)["securityContext"].update(allowPrivilegeEscalation=True),
        "allowPrivilegeEscalation is True",
    ),
    "no seccomp": ("gateway", lambda m: tagwarden(m)["securityContext"].pop("seccompProfile"), "seccompProfile is None"),
    "a token": ("gateway", lambda m: sidecar(m)[0].pop("automountServiceAccountToken"), "mounts a service account token"),
    "the node's network": ("gateway", lambda m: sidecar(m)[0].update(hostNetwork=True), "has hostNetwork"),
    "the latest image": (
        "gateway",
        lambda m: tagwarden(m).update(image="ghcr.io/tagwarden/tagwarden:latest"),
        "is not pinned",
    ),
    "an image without a tag": ("gateway", lambda m: tagwarden(m).update(image="host:5000/tagwarden"), "is not pinned"),
    "a subPath": ("gateway", lambda m: tagwarden(m)["volumeMounts"][1].update(subPath="policy.yaml"), "is a subPath"),
    "a mount of nothing": (
        "gateway",
        lambda m: tagwarden(m)["volumeMounts"][1].update(name="other"),
        "there is no volume other",
    ),
    "an unused volume": ("gateway", lambda m: tagwarden(m)["volumeMounts"].pop(), "nobody mounts tagwarden-data"),
    "a ConfigMap that is not there": ("gateway", lambda m: m.remove(one(m, "ConfigMap")), "there is no ConfigMap"),
    "a Secret in plain": ("gateway", lambda m: m.append({"kind": "Secret", "metadata": {"name": "a"}}), "stand in plain"),
    "a variable in plain": (
        "issuer",
        lambda m: tagwarden(m)["env"].append({"name": "REDIS_URL", "value": "redis://a"}),
        "REDIS_URL stands in plain",
    ),
    "other pods": (
        "gateway",
        lambda m: one(m, "Deployment")["spec"]["selector"]["matchLabels"].update(a="b"),
        "does not select its own pods",
    ),
    "a checksum": (
        "everything",
        lambda m: one(m, "Deployment")["spec"]["template"]["metadata"]["annotations"].update({"checksum/config": "1"}),
        "has a checksum",
    ),
    "a spread of others": (
        "gateway",
        lambda m: sidecar(m)[0]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(a="b"),
        "spreads other pods",
    ),
    "a Service of nothing": (
        "gateway",
        lambda m: one(m, "Service")["spec"]["selector"].update(a="b"),
        "selects not exactly one kind",
    ),
    "a Service of the test pod too": (
        "gateway",
        lambda m: one(m, "Service")["spec"].update(selector={"app.kubernetes.io/instance": "shop"}),
        "selects not exactly one kind",
    ),
    "a budget of nothing": (
        "issuer",
        lambda m: one(m, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(a="b"),
        "selects not exactly one kind",
    ),
    "a port that is not there": (
        "gateway",
        lambda m: one(m, "Service")["spec"]["ports"][0].update(targetPort="http"),
        "has a port of the name http",
    ),
    "a number that is not there": (
        "parent",
        lambda m: one(m, "Service")["spec"]["ports"][0].update(targetPort=6566),
        "no container listens on 6566",
    ),
    "a name in a native sidecar": (
        "parent",
        lambda m: one(m, "Service")["spec"]["ports"][0].update(targetPort="tagwarden"),
        "has a port of the name tagwarden",
    ),
    "metrics for callers": (
        "gateway",
        lambda m: one(m, "Service")["spec"]["ports"].append({"targetPort": "tw-metrics"}),
        "gives the metrics to callers",
    ),
    "an Ingress to nothing": (
        "everything",
        lambda m: one(m, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="a"),
        "there is no a with a port",
    ),
    "a monitor of nothing": (
        "everything",
        lambda m: one(m, "ServiceMonitor")["spec"]["selector"]["matchLabels"].update(a="b"),
        "finds not exactly one Service",
    ),
    "a scaler of nothing": (
        "everything",
        lambda m: one(m, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="a"),
        "scales nothing",
    ),
    "liveness by readiness": (
        "gateway",
        lambda m: tagwarden(m)["livenessProbe"]["httpGet"].update(path="/readyz"),
        "liveness is not /livez",
    ),
    "a healthcheck of elsewhere": (
        "gateway",
        lambda m: tagwarden(m)["ports"][1].update(containerPort=9000),
        "the metrics are on 9000",
    ),
    "no readiness": (
        "gateway",
        lambda m: tagwarden(m)["readinessProbe"].update(exec={"command": ["true"]}),
        "readiness is neither",
    ),
    "a policy for every pod": (
        "everything",
        lambda m: one(m, "NetworkPolicy")["spec"].update(podSelector={}),
        "selects every pod",
    ),
    "a policy of egress alone": (
        "everything",
        lambda m: one(m, "NetworkPolicy")["spec"].update(policyTypes=["Egress"]),
        "closes nothing",
    ),
    "a rule without ports": (
        "everything",
        lambda m: one(m, "NetworkPolicy")["spec"]["ingress"][0].pop("ports"),
        "opens every port",
    ),
    "metrics for everybody": (
        "everything",
        lambda m: one(m, "NetworkPolicy")["spec"]["ingress"][1].pop("from"),
        "opens [9902] of the sidecar to everybody",
    ),
    "operators' port": (
        "parent",
        lambda m: one(m, "NetworkPolicy")["spec"]["ingress"][0]["ports"].append({"port": 9901}),
        "opens [8080, 9901]",
    ),
    "others at the feature server": (
        "everything",
        lambda m: one(m, "NetworkPolicy", 1)["spec"]["ingress"][0].pop("from"),
        "lets others than the sidecar in",
    ),
    "a namespace at the feature server": (
        "everything",
        lambda m: one(m, "NetworkPolicy", 1)["spec"]["ingress"][0]["from"][0].pop("podSelector"),
        "lets others than the sidecar in",
    ),
    "Feast for all": (
        "kustomize",
        lambda m: feast(m).update(command=["feast", "serve", "-h", "0.0.0.0"]),
        "Feast listens beyond",
    ),
    "Feast for all by default": ("parent", lambda m: feast(m).update(command=["feast", "serve"]), "Feast listens beyond"),
    "Feast for all by a second host": (
        "kustomize",
        lambda m: feast(m).update(args=["-h", "0.0.0.0", "-p", "6566"]),
        "Feast listens beyond",
    ),
    "a probe of two handlers": (
        "kustomize",
        lambda m: feast(m)["livenessProbe"].update(httpGet={"path": "/health", "port": 6566}),
        "cannot ask Feast on the loopback address (livenessProbe: ['exec', 'httpGet'])",
    ),
    "a port of Feast": ("kustomize", lambda m: feast(m).update(ports=[{"containerPort": 6566}]), "container lists ports"),
    "a probe from outside": (
        "kustomize",
        lambda m: feast(m).update(livenessProbe={"tcpSocket": {"port": 6566}}),
        "cannot ask Feast",
    ),
    "no wait": ("parent", lambda m: feast(m).pop("lifecycle"), "Feast waits 0 s"),
    "a drain that is cut": ("kustomize", lambda m: sidecar(m)[0].pop("terminationGracePeriodSeconds"), "the drain is cut"),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_what_is_made_worse_is_found(manifests, given, what):
    name, mutate, words = MUTATIONS[what]
    worse = copy.deepcopy(manifests(name))
    assert faults(worse, given) == []
    mutate(worse)
    found = faults(worse, given)
    assert any(words in fault for fault in found), found


def test_a_plain_sidecar_waits_for_the_whole_drain(manifests, given):
    worse = copy.deepcopy(manifests("parent", "1.28"))
    assert faults(worse, given) == []
    feast(worse)["lifecycle"]["preStop"]["exec"]["command"][1] = "5"
    assert "Feast waits 5 s, and ends before the sidecar has drained" in faults(worse, given)[0]


def test_every_property_is_shown_to_fail(manifests, given):
    seen = set()
    for name, mutate, _ in MUTATIONS.values():
        worse = copy.deepcopy(manifests(name))
        mutate(worse)
        seen |= {holds.__name__ for holds in ALL if list(holds(worse, given))}
    assert seen == {holds.__name__ for holds in ALL}

"""What holds of everything that is rendered: each function gives the faults that it finds, so that a test can show that it finds
them (test_mutations.py)."""

from cluster import containers, of_kind, pods

PLAIN_SECRETS = ("PASSWORD", "SECRET", "TOKEN", "KEY", "REDIS_URL")


def matches(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def name(manifest):
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def secure(manifests, _given):
    for owner, _, spec in pods(manifests):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name(owner)} mounts a service account token"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                yield f"{name(owner)} has {key}"
        for container in containers(spec):
            context, who = container.get("securityContext"), f"{name(owner)}, {container['name']}"
            if not context:
                yield f"{who} has no securityContext"
                continue
            wanted = {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            if container["name"] == "tagwarden":
                wanted |= {"runAsNonRoot": True, "runAsUser": 10001, "readOnlyRootFilesystem": True}
            for key, value in wanted.items():
                if context.get(key) != value:
                    yield f"{who}: {key} is {context.get(key)}"


def images(manifests, _given):
    for owner, _, spec in pods(manifests):
        for container in containers(spec):
            image = container["image"]
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and (not tag or tag == "latest"):
                yield f"{name(owner)}, {container['name']}: the image {image} is not pinned"


def mounts(manifests, given):
    maps = {manifest["metadata"]["name"] for manifest in of_kind(manifests, "ConfigMap")} | set(given)
    for owner, _, spec in pods(manifests):
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        if len(volumes) != len(spec.get("volumes", [])):
            yield f"{name(owner)} has two volumes of one name"
        used = set()
        for container in containers(spec):
            for place in container.get("volumeMounts", []):
                used.add(place["name"])
                if "subPath" in place or "subPathExpr" in place:
                    yield f"{name(owner)}, {container['name']}: {place['mountPath']} is a subPath, which is never updated"
                if place["name"] not in volumes:
                    yield f"{name(owner)}, {container['name']}: there is no volume {place['name']}"
        for unused in volumes.keys() - used:
            yield f"{name(owner)}: nobody mounts {unused}"
        for volume in volumes.values():
            source = volume.get("configMap", {}).get("name")
            if source and source not in maps:
                yield f"{name(owner)}: there is no ConfigMap {source}"


def secrets(manifests, _given):
    for manifest in of_kind(manifests, "Secret"):
        yield f"{name(manifest)} is rendered, so its values stand in plain"
    for owner, _, spec in pods(manifests):
        for container in containers(spec):
            for variable in container.get("env", []):
                if "value" in variable and any(word in variable["name"] for word in PLAIN_SECRETS):
                    yield f"{name(owner)}: {variable['name']} stands in plain"


def selectors(manifests, _given):
    labels = [labels for _, labels, _ in pods(manifests)]
    for owner in of_kind(manifests, "Deployment"):
        spec = owner["spec"]
        if not matches(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            yield f"{name(owner)} does not select its own pods"
        if any("checksum" in key for key in spec["template"]["metadata"].get("annotations", {})):
            yield f"{name(owner)} has a checksum: a change of the policy would be a rollout"
        for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
                yield f"{name(owner)} spreads other pods"
    if not of_kind(manifests, "Deployment"):
        return  # the sidecar form: the pods are another chart's
    for manifest in of_kind(manifests, "Service", "PodDisruptionBudget", "PodMonitor"):
        selector = manifest["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        if sum(matches(selector, each) for each in labels) != 1:
            yield f"{name(manifest)} selects not exactly one kind of pod"


def ports(manifests, _given):
    for service in of_kind(manifests, "Service"):
        for _, labels, spec in pods(manifests):
            if not matches(service["spec"]["selector"], labels):
                continue
            listed = [port for container in containers(spec) for port in container.get("ports", [])]
            plain = [port for container in spec["containers"] for port in container.get("ports", [])]
            for port in service["spec"]["ports"]:
                target = port["targetPort"]
                if isinstance(target, int) and target not in [port["containerPort"] for port in listed]:
                    yield f"{name(service)}: no container listens on {target}"
                # kubernetes/kubernetes#127958: in native sidecars names are found from 1.32 on
                if isinstance(target, str) and target not in [port.get("name") for port in plain]:
                    yield f"{name(service)}: no container has a port of the name {target}"
                metrics = [p for p in listed if p.get("name") == "tw-metrics" and target in (p["name"], p["containerPort"])]
                if metrics and service["spec"].get("clusterIP") != "None":
                    yield f"{name(service)} gives the metrics to callers"
    services = {service["metadata"]["name"]: service for service in of_kind(manifests, "Service")}
    for manifest in of_kind(manifests, "Ingress"):
        for rule in manifest["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                names = [port["name"] for port in services.get(backend["name"], {"spec": {"ports": []}})["spec"]["ports"]]
                if backend["port"]["name"] not in names:
                    yield f"{name(manifest)}: there is no {backend['name']} with a port {backend['port']['name']}"
    for manifest in of_kind(manifests, "ServiceMonitor"):
        found = [
            s for s in services.values() if matches(manifest["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])
        ]
        wanted = [endpoint["port"] for endpoint in manifest["spec"]["endpoints"]]
        if len(found) != 1 or [port["name"] for port in found[0]["spec"]["ports"]] != wanted:
            yield f"{name(manifest)} finds not exactly one Service with its port"
    deployments = [deployment["metadata"]["name"] for deployment in of_kind(manifests, "Deployment")]
    for manifest in of_kind(manifests, "HorizontalPodAutoscaler"):
        if manifest["spec"]["scaleTargetRef"]["name"] not in deployments:
            yield f"{name(manifest)} scales nothing"


def probes(manifests, _given):
    for owner, _, spec in pods(manifests):
        for container in containers(spec):
            if container["name"] != "tagwarden":
                continue
            if container["livenessProbe"].get("httpGet", {}).get("path") != "/livez":
                yield f"{name(owner)}: liveness is not /livez, so one that drains or waits for keys would be restarted"
            ready = container["readinessProbe"]
            listed = {port["name"]: port["containerPort"] for port in container["ports"]}
            if ready.get("exec", {}).get("command") == ["/tagwarden", "healthcheck"]:
                if listed["tw-metrics"] != 9902:
                    yield f"{name(owner)}: healthcheck asks 9902, and the metrics are on {listed['tw-metrics']}"
            elif ready.get("httpGet") != {"path": "/readyz", "port": "tw-metrics"}:
                yield f"{name(owner)}: readiness is neither healthcheck nor /readyz"


def closed(manifests, _given):
    """Nobody comes to the feature server, or to other ports of ours, round the sidecar."""
    mine = [
        (labels, container)
        for _, labels, spec in pods(manifests)
        for container in containers(spec)
        if container["name"] == "tagwarden"
    ]
    for policy in of_kind(manifests, "NetworkPolicy"):
        spec = policy["spec"]
        if not spec["podSelector"].get("matchLabels"):
            yield f"{name(policy)} selects every pod"
        if "Ingress" not in spec["policyTypes"]:
            yield f"{name(policy)} closes nothing"
        for rule in spec["ingress"]:
            if not rule.get("ports"):
                yield f"{name(policy)} opens every port"
        for labels, container in mine:
            listed = {port["name"]: port["containerPort"] for port in container["ports"]}
            if matches(spec["podSelector"].get("matchLabels"), labels):
                for rule in spec["ingress"]:
                    opened = [port["port"] for port in rule.get("ports", [])]
                    if opened != [listed["tagwarden"]] and (opened != [listed["tw-metrics"]] or not rule.get("from")):
                        yield f"{name(policy)} opens {opened} of the sidecar to {rule.get('from', 'everybody')}"
            elif not all(
                matches(peer.get("podSelector", {}).get("matchLabels"), labels) and "namespaceSelector" in peer
                for rule in spec["ingress"]
                for peer in rule.get("from") or [{}]
            ):
                yield f"{name(policy)} lets others than the sidecar in"
    for owner, _, spec in pods(manifests):
        for container in containers(spec):
            command = container.get("command", []) + container.get("args", [])
            if command[:2] != ["feast", "serve"]:
                continue
            # of several hosts the last one holds
            hosts = [value for option, value in zip(command, command[1:]) if option in ("-h", "--host")]
            if hosts[-1:] != ["127.0.0.1"] or any(part.startswith("--host=") for part in command):
                yield f"{name(owner)}: Feast listens beyond the loopback address"
            if container.get("ports"):
                yield f"{name(owner)}: Feast's container lists ports"
            for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
                handlers = container.get(kind, {"exec": {}}).keys() & {"exec", "grpc", "httpGet", "tcpSocket"}
                if handlers != {"exec"}:
                    yield f"{name(owner)}: the kubelet cannot ask Feast on the loopback address ({kind}: {sorted(handlers)})"
            native = any(
                c["name"] == "tagwarden" and c.get("restartPolicy") == "Always" for c in spec.get("initContainers", [])
            )
            stop = container.get("lifecycle", {}).get("preStop", {})
            waits = stop.get("sleep", {}).get("seconds") or int(stop.get("exec", {}).get("command", [0, 0])[1])
            if waits < (5 if native else 30):
                yield f"{name(owner)}: Feast waits {waits} s, and ends before the sidecar has drained"
            if spec.get("terminationGracePeriodSeconds", 30) < 40:
                yield f"{name(owner)}: the drain is cut"


ALL = [secure, images, mounts, secrets, selectors, ports, probes, closed]


def faults(manifests, given=()):
    return [fault for holds in ALL for fault in holds(manifests, given)]

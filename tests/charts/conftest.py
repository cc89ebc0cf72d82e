"""The chart as it stands, and a copy of it whose rules and dashboard are stand-ins. TAGWARDEN_CHART_TOOLS is the folder with
`helm` and `kubectl`, TAGWARDEN_BIN the binary; tests/run sets both. With TAGWARDEN_BLESS=1 the golden files are written anew, and
what values.schema.json has of docs/schema/config.json."""

import os

import pytest
import yaml
from cluster import EXAMPLES, NEWEST, VALUES, Helm, done, documents, kustomize, with_stand_ins

# a proxy of the machine is no business of a test on loopback
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def charts(tmp_path_factory, helm):
    folder = with_stand_ins(tmp_path_factory.mktemp("charts") / "charts")
    helm.done("dependency", "update", folder / "examples" / "feast-sidecar")
    return folder


@pytest.fixture(scope="session")
def rendered(helm, charts):
    """rendered(NAME, RELEASE): a set of values, or `parent` and `kustomize`, the two examples."""
    kept = {}

    def render(name, release=NEWEST):
        if (name, release) not in kept:
            if name == "kustomize":
                text = kustomize(EXAMPLES / "feast-kustomize")
            elif name == "sidecar-pods":  # the values of the sidecar, as a parent chart gives them
                values = yaml.safe_load((VALUES / "sidecar.yaml").read_text())
                file = charts / "sidecar-pods.yaml"
                file.write_text(yaml.safe_dump({"tagwarden": values}))
                text = helm.template(charts / "examples" / "feast-sidecar", "--values", file, release=release)
            elif name == "parent":
                text = helm.template(charts / "examples" / "feast-sidecar", release=release)
            else:
                text = helm.template(charts / "tagwarden", "--values", VALUES / f"{name}.yaml", release=release)
            kept[name, release] = text
        return kept[name, release]

    return render


@pytest.fixture(scope="session")
def manifests(rendered):
    return lambda name, release=NEWEST: documents(rendered(name, release))


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    """What the sets of values name and do not make: ConfigMaps and Secrets, with real keys and certificates."""
    folder = tmp_path_factory.mktemp("given")

    def openssl(*arguments):
        done("openssl", *arguments, cwd=folder)

    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "sign.pem")
    openssl(
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "tls.key",
        "-out",
        "tls.crt",
    )
    read = lambda name: (folder / name).read_bytes()  # noqa: E731
    certificate = {"tls.crt": read("tls.crt"), "tls.key": read("tls.key"), "ca.crt": read("tls.crt")}
    policy = 'version: 1\nroles: {scoring: {default: Allow}}\nbindings:\n  - {roles: [scoring], when: {iss: "https://idp.example/", client_id: a}}\n'
    catalogue = lambda view: f'version: 1\nfeatures:\n  "{view}:amount": {{tags: [pii]}}\n'  # noqa: E731
    clients = 'version: 1\nclients:\n  scoring-svc:\n    secrets: [{id: s1, hash: "sha256:' + "0" * 64 + '"}]\n'
    return {
        "reviewed-policies": {"policy.yaml": policy},
        "feast-catalogue": {"catalogue.yaml": catalogue("a"), "shop.yaml": catalogue("b"), "risk.yaml": catalogue("c")},
        "company-cas": {"ca.crt": certificate["ca.crt"]},
        "tagwarden-audit": {"key": b"a key of the chain, 32 bytes or more"},
        "tagwarden-introspection": {"secret": b"a secret of the introspection, 32 bytes or more"},
        "tagwarden-clients": {"clients.yaml": clients},
        "tagwarden-keys": {"2026-11-23.pem": read("sign.pem")},
        "features-tls": certificate,
        "feast-client-tls": certificate,
    }

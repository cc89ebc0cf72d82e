//! `client`: the program itself, on files of its own.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use tagwarden::diagnostic::SourceFile;
use tagwarden::issuer::clients::{self, Clients, Denied};
use tagwarden::issuer::secret::{Gate, Secret, is_generated};

use crate::support::client::{ask, request};
use crate::support::process::{Process, command, run};
use crate::support::{Folder, until};

const CONFIG: &str = "version: 1
upstream: {url: \"http://127.0.0.1:6566\", dialect: feast}
policies: policies/
issuer: {url: \"http://127.0.0.1:8080\", audience: feature-server}
";

/// A folder with a configuration, and clients where there are any.
fn workshop(clients: Option<&str>) -> Folder {
    let folder = Folder::new();
    folder.write("tagwarden.yaml", CONFIG);
    if let Some(clients) = clients {
        folder.write("clients.yaml", clients);
    }
    folder
}

/// Runs `client …` on a folder: exit code, standard output, standard error without the folder's name.
fn client(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    let config = folder.path("tagwarden.yaml").display().to_string();
    let (code, out, said) = run(["client"].iter().chain(arguments).copied().chain(["--config", &config]));
    (code, out, said.replace(&format!("{}/", folder.path("").display().to_string().trim_end_matches('/')), ""))
}

fn fine(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let (code, out, said) = client(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    (out, said)
}

/// The lines `name: value` of what is printed.
fn printed(out: &str) -> Vec<(&str, &str)> {
    out.lines().map(|line| line.split_once(": ").unwrap()).collect()
}

fn read(folder: &Folder) -> Clients {
    let file = SourceFile { name: "clients.yaml".to_owned(), text: folder.read("clients.yaml") };
    let (clients, report) = clients::read(&Arc::new(file));
    clients.unwrap_or_else(|| panic!("{report}"))
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn is(clients: &Clients, id: &str, secret: &str, now: u64) -> bool {
    match clients.authenticate(id, secret, now, &Gate::new(), false).await {
        Ok(client) => client.id == id,
        Err(denied) => {
            assert_eq!(denied, Denied::Wrong);
            false
        }
    }
}

/// All that is in a folder.
fn everything(folder: &Folder) -> String {
    let entries = std::fs::read_dir(folder.path("")).unwrap();
    entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn a_secret_is_printed_once_and_kept_as_a_hash() {
    let folder = workshop(None);
    let (out, said) = fine(&folder, &["add", "fraud-svc", "--claim", "groups=[\"scoring\"]", "--claim", "team=fraud"]);
    let [("client_id", "fraud-svc"), ("client_secret", secret)] = printed(&out)[..] else { panic!("{out}") };
    assert!(is_generated(secret) && secret.starts_with("tw_s1_"), "{secret}");
    assert_eq!(said, "");
    assert!(!everything(&folder).contains(secret));
    assert_eq!(
        folder.read("clients.yaml"),
        format!(
            "# The issuer's clients. `tagwarden client` writes this file; secrets and keys are kept as hashes.\nversion: 1\n\
             clients:\n  fraud-svc:\n    secrets:\n      - {{id: s1, hash: \"{}\"}}\n    claims: {{groups: [scoring], team: fraud}}\n",
            Secret::sent(secret).kept()
        )
    );
    let mode = std::fs::metadata(folder.path("clients.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let clients = read(&folder);
    assert!(is(&clients, "fraud-svc", secret, now()).await && !is(&clients, "batch", secret, now()).await);
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 2, "nothing is left beside it");
}

#[tokio::test]
async fn an_api_key_is_one_too() {
    let folder = workshop(None);
    let (out, _) = fine(&folder, &["add", "batch", "--api-key"]);
    let [("client_id", "batch"), ("api_key", first)] = printed(&out)[..] else { panic!("{out}") };
    assert!(first.starts_with("tw_k1_") && !everything(&folder).contains(first));
    let (out, said) = fine(&folder, &["rotate", "batch", "--api-key", "--expire-old", "1h"]);
    let [("client_id", "batch"), ("api_key", second)] = printed(&out)[..] else { panic!("{out}") };
    assert!(second.starts_with("tw_k2_") && said.starts_with("key `k1` ends at 2"), "{said}");
    let clients = read(&folder);
    let who = |key: &str, now: u64| clients.by_api_key(key, now).map(|client| client.id.clone());
    assert_eq!(who(first, now()).as_deref(), Some("batch"));
    assert_eq!((who(first, now() + 3601), who(second, now() + 3601).as_deref()), (None, Some("batch")));
    assert!(!clients.get("batch").unwrap().has_secrets());
}

#[tokio::test]
async fn a_rotated_secret_ends_later_or_at_once() {
    let folder = workshop(None);
    let secret = |out: String| printed(&out)[1].1.to_owned();
    let first = secret(fine(&folder, &["add", "a"]).0);
    let (out, said) = fine(&folder, &["rotate", "a"]);
    let second = secret(out);
    assert!(said.starts_with("secret `s1` ends at 2"), "{said}");
    let clients = read(&folder);
    let day = now() + 86_400;
    assert!(is(&clients, "a", &first, day - 60).await && is(&clients, "a", &second, day + 60).await);
    assert!(!is(&clients, "a", &first, day + 60).await);
    let (out, said) = fine(&folder, &["rotate", "a", "--expire-old", "7d"]);
    let third = secret(out);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "secret `s1` ended now, before its time: no more than two live at once");
    assert!(lines.len() == 2 && lines[1].starts_with("secret `s2` ends at "), "{said}");
    let clients = read(&folder);
    assert!(!is(&clients, "a", &first, now()).await && is(&clients, "a", &second, day).await);
    let (out, said) = fine(&folder, &["rotate", "a", "--expire-old", "0s"]);
    let fourth = secret(out);
    assert_eq!(said, "secret `s2` has ended and was taken out\nsecret `s3` has ended and was taken out\n");
    let clients = read(&folder);
    for (secret, good) in [(&first, false), (&second, false), (&third, false), (&fourth, true)] {
        assert_eq!(is(&clients, "a", secret, now()).await, good, "{secret}");
        assert!(!everything(&folder).contains(secret));
    }
    assert!(fourth.starts_with("tw_s4_"), "no id is given twice: {fourth}");
}

#[tokio::test]
async fn a_secret_from_a_file_is_kept_as_argon2id() {
    let folder = workshop(None);
    let file = folder.write("imported", "correct horse battery\r\n").display().to_string();
    let (out, said) = fine(&folder, &["add", "a", "--secret-file", &file, "--api-key"]);
    let [("client_id", "a"), ("api_key", _)] = printed(&out)[..] else { panic!("{out}") };
    assert_eq!(said, "");
    let text = folder.read("clients.yaml");
    assert!(text.contains("- {id: s1, hash: \"$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    assert!(!text.contains("correct"), "{text}");
    assert!(is(&read(&folder), "a", "correct horse battery", now()).await);
    folder.write("imported", "a battery of horses\n\n");
    let (out, _) = fine(&folder, &["rotate", "a", "--secret-file", &file, "--expire-old", "0s"]);
    assert_eq!(out, "client_id: a\n");
    let clients = read(&folder);
    assert!(is(&clients, "a", "a battery of horses\n", now()).await, "one line end is taken off");
    assert!(!is(&clients, "a", "correct horse battery", now()).await);
    for (content, why) in [
        ("fifteen bytes..\n".to_owned().into_bytes(), "has less than 16 bytes"),
        (vec![b'x'; 1025], "has more than 1024 bytes"),
        (vec![0xff; 20], "is no text in utf-8"),
        (
            Secret::generate("s1").unwrap().expose().to_owned().into_bytes(),
            "has the form of generated ones, and would be taken for one",
        ),
    ] {
        folder.write("imported", content);
        let before = folder.read("clients.yaml");
        let (code, out, said) = client(&folder, &["rotate", "a", "--secret-file", &file]);
        assert_eq!((code, out.as_str(), said), (2, "", format!("the secret in `imported` {why}\n")));
        assert_eq!(folder.read("clients.yaml"), before);
    }
}

#[test]
fn a_client_is_disabled_enabled_and_removed() {
    let folder = workshop(None);
    fine(&folder, &["add", "a"]);
    fine(&folder, &["add", "b"]);
    assert_eq!(fine(&folder, &["disable", "a"]), (String::new(), String::new()));
    assert!(read(&folder).get("a").unwrap().disabled && !read(&folder).get("b").unwrap().disabled);
    let again = fine(&folder, &["disable", "a"]).1;
    assert_eq!(again, "client `a` is disabled already\n");
    assert_eq!(fine(&folder, &["enable", "a"]), (String::new(), String::new()));
    assert!(!read(&folder).get("a").unwrap().disabled);
    assert_eq!(fine(&folder, &["remove", "a"]), (String::new(), String::new()));
    assert_eq!(read(&folder).iter().map(|client| client.id.clone()).collect::<Vec<_>>(), ["b"]);
    fine(&folder, &["remove", "b"]);
    assert!(folder.read("clients.yaml").ends_with("\nversion: 1\nclients: {}\n"));
    assert_eq!(fine(&folder, &["list"]).0, "client  secrets  api keys  claims  state\n");
}

#[test]
fn the_list_has_names_and_no_hash() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let folder = workshop(Some(&format!(
        "version: 1
clients:
  fraud-svc:
    secrets:
      - {{id: s1, hash: \"sha256:{a}\", expires: 2020-01-01T01:00:00+01:00}}
      - {{id: s2, hash: \"sha256:{a}\"}}
      - {{id: s3, hash: \"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\", expires: 2999-01-01T00:00:00Z}}
    api_keys:
      - {{id: k1, hash: \"sha256:{b}\", created: 2026-11-22, expires: 2999-01-01T00:00:00Z}}
    claims: {{team: fraud, groups: [scoring]}}
  batch: {{disabled: true}}
"
    )));
    let (text, said) = fine(&folder, &["list"]);
    assert_eq!(
        text,
        "\
client     secrets                                                                        api keys                        claims        state
batch      -                                                                              -                               -             disabled
fraud-svc  s1 (ended 2020-01-01T00:00:00Z), s2, s3 (imported, ends 2999-01-01T00:00:00Z)  k1 (ends 2999-01-01T00:00:00Z)  groups, team  enabled
"
    );
    assert_eq!(said, "");
    let (out, _) = fine(&folder, &["list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        listed["clients"][1],
        json!({
            "id": "fraud-svc",
            "secrets": [
                {"id": "s1", "imported": false, "expires": "2020-01-01T00:00:00Z", "expired": true},
                {"id": "s2", "imported": false, "expires": null, "expired": false},
                {"id": "s3", "imported": true, "expires": "2999-01-01T00:00:00Z", "expired": false},
            ],
            "api_keys": [{"id": "k1", "created": "2026-11-22", "expires": "2999-01-01T00:00:00Z", "expired": false}],
            "claims": ["groups", "team"],
            "disabled": false,
        })
    );
    for shown in [text, out] {
        assert!(!["sha256", "argon2", "aaaa", "bbbb", "nf65"].iter().any(|part| shown.contains(part)), "{shown}");
    }
}

#[test]
fn twenty_at_once_lose_nothing() {
    let folder = workshop(None);
    let config = folder.path("tagwarden.yaml").display().to_string();
    let started: Vec<_> = (0..20)
        .map(|n| {
            let id = format!("client-{n}");
            let mut command = command(["client", "add", &id, "--config", &config]);
            (id, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    let made: Vec<(String, String)> = started
        .into_iter()
        .map(|(id, child)| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let out = String::from_utf8(output.stdout).unwrap();
            (id, printed(&out)[1].1.to_owned())
        })
        .collect();
    let text = folder.read("clients.yaml");
    assert_eq!(read(&folder).iter().count(), 20);
    for (id, secret) in made {
        let entry = format!("  {id}:\n    secrets:\n      - {{id: s1, hash: \"{}\"}}\n", Secret::sent(&secret).kept());
        assert!(text.contains(&entry), "{id}: {text}");
    }
}

#[test]
fn misuse_changes_nothing_and_says_why() {
    let clients = "version: 1\nclients: {a: {}} # mine\n";
    let folder = workshop(Some(clients));
    for (arguments, why) in [
        (&["add", "a"][..], "client `a` is there already\n"),
        (&["add", "a:b"], "client id `a:b` has what is no ASCII letter, digit or sign, or a `:` or `\"`\n"),
        (&["add", ""], "client id `` is empty\n"),
        (&["add", "b", "--claim", "x=1", "--claim", "x=2"], "claim `x` is given twice\n"),
        (&["add", "b", "--claim", "iss=me"], "claim `iss` is the issuer's to set\n"),
        (&["add", "b", "--claim", "=me"], "claim `` has no name\n"),
        (&["add", "b", "--claim", "x"], "a claim is written `name=value`"),
        (&["add", "b", "--claim", "x=[18446744073709551615]"], "it holds a number that tokens do not carry exactly"),
        (&["add", "b", "--secret-file", "/nowhere/at/all"], "the secret in `/nowhere/at/all` cannot be read: "),
        (&["rotate", "b"], "there is no client `b`\n"),
        (&["rotate", "a", "--expire-old", "1w"], "a duration is written `30s`, `5m`, `24h` or `7d`"),
        (&["rotate", "a", "--expire-old", "99999999d"], "`--expire-old` leads beyond the year 9999\n"),
        (&["disable", "b"], "there is no client `b`\n"),
        (&["enable", "b"], "there is no client `b`\n"),
        (&["remove", "b"], "there is no client `b`\n"),
    ] {
        let (code, out, said) = client(&folder, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {said}");
        assert!(said.contains(why) && (said == why || !why.ends_with('\n')), "{arguments:?}: {said}");
        assert_eq!(folder.read("clients.yaml"), clients, "{arguments:?}");
    }
}

#[test]
fn what_does_not_load_is_not_changed() {
    let all: [&[&str]; 6] =
        [&["add", "b"], &["list"], &["rotate", "a"], &["disable", "a"], &["enable", "a"], &["remove", "a"]];
    let broken = "version: 1\nclients: {a: {secrets: [{id: s1, hash: hunter2}]}}\n";
    let folder = workshop(Some(broken));
    let why = "clients.yaml:2:40: error[hash]: `hash` of a secret of client `a` is neither `sha256:` and 64 hex digits nor an \
               argon2id hash in the PHC form\n";
    for arguments in all {
        assert_eq!(client(&folder, arguments), (3, String::new(), why.to_owned()), "{arguments:?}");
        assert_eq!(folder.read("clients.yaml"), broken);
    }
    let missing = workshop(None);
    for arguments in &all[1..] {
        let why = "`clients.yaml` does not exist; `client add` makes it\n";
        assert_eq!(client(&missing, arguments), (3, String::new(), why.to_owned()), "{arguments:?}");
    }
    symlink("nothing", missing.path("clients.yaml")).unwrap();
    for arguments in all {
        let (code, _, said) = client(&missing, arguments);
        assert_eq!(code, 3, "{arguments:?}");
        assert!(said.starts_with("the clients in `clients.yaml` cannot be read: "), "{said}");
    }
    let binary = workshop(None);
    std::fs::write(binary.path("clients.yaml"), [0xff]).unwrap();
    assert_eq!(
        client(&binary, &["list"]),
        (3, String::new(), "the clients in `clients.yaml` are no text in utf-8\n".to_owned())
    );
    let without = workshop(None);
    without.write(
        "tagwarden.yaml",
        CONFIG.split_once("issuer:").unwrap().0.to_owned()
            + "auth: {issuers: [{issuer: x, audiences: [x], keys: {jwks_file: x}}]}\n",
    );
    assert_eq!(
        client(&without, &["add", "a"]),
        (3, String::new(), "`tagwarden.yaml` configures no `issuer`\n".to_owned())
    );
    without.write("tagwarden.yaml", "version: 2\n");
    let (code, _, said) = client(&without, &["add", "a"]);
    assert!(code == 3 && said.starts_with("tagwarden.yaml:1:"), "{code} {said}");
    assert!(!without.path("clients.yaml").exists());
}

#[test]
fn a_link_is_followed_and_what_it_leads_to_is_replaced() {
    let folder = workshop(None);
    std::fs::create_dir(folder.path("real")).unwrap();
    std::fs::write(folder.path("real/of.yaml"), "# ours\nversion: 1\nclients: {}\n").unwrap();
    std::fs::set_permissions(folder.path("real/of.yaml"), Permissions::from_mode(0o640)).unwrap();
    symlink("real/of.yaml", folder.path("clients.yaml")).unwrap();
    let before = std::fs::metadata(folder.path("real/of.yaml")).unwrap();
    std::fs::write(folder.path("real/.of.yaml.new"), "left by one that was stopped").unwrap();
    fine(&folder, &["add", "a"]);
    assert!(std::fs::symlink_metadata(folder.path("clients.yaml")).unwrap().is_symlink());
    let after = std::fs::metadata(folder.path("real/of.yaml")).unwrap();
    assert_ne!(after.ino(), before.ino(), "whoever reads the old one reads it to its end");
    assert_eq!((after.mode() & 0o777, after.uid(), after.gid()), (0o640, before.uid(), before.gid()));
    assert!(folder.read("real/of.yaml").starts_with("# ours\nversion: 1\nclients:\n  a:\n"));
    assert_eq!(std::fs::read_dir(folder.path("real")).unwrap().count(), 1);
}

/// Nobody makes files there, root neither.
#[test]
fn where_nothing_can_be_written_it_says_what_to_do() {
    let folder = workshop(None);
    folder.write("tagwarden.yaml", CONFIG.replace("audience:", "clients: /sys/kernel/clients.yaml, audience:"));
    let (code, out, said) = client(&folder, &["add", "a"]);
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    let (begins, ends) = (
        "`/sys/kernel/clients.yaml` lies where nothing can be written (",
        "): change it where it comes from, such as a Secret of Kubernetes, and a running sidecar takes it up by itself\n",
    );
    assert!(said.starts_with(begins) && said.ends_with(ends), "{said}");
    folder.write("tagwarden.yaml", CONFIG.replace("audience:", "clients: nowhere/clients.yaml, audience:"));
    let (code, _, said) = client(&folder, &["add", "a"]);
    assert!(code == 1 && said.starts_with("the folder `nowhere` cannot be locked: "), "{said}");
}

#[test]
fn comments_that_are_lost_are_told() {
    let folder = workshop(Some("version: 1\nclients:\n  # of the batch job\n  a: {} # since May\n"));
    let (out, said) = fine(&folder, &["rotate", "a"]);
    assert!(out.starts_with("client_id: a\nclient_secret: tw_s1_"), "{out}");
    assert_eq!(said, "client `a` was written anew, and comments in it are lost\n");
    assert!(
        folder.read("clients.yaml").starts_with("version: 1\nclients:\n  # of the batch job\n  a:\n    secrets:\n")
    );
}

#[test]
fn the_configuration_may_be_named_by_the_environment() {
    let folder = workshop(None);
    let output =
        command(["client", "add", "a"]).env("TAGWARDEN_CONFIG", folder.path("tagwarden.yaml")).output().unwrap();
    assert!(output.status.success() && folder.read("clients.yaml").contains("  a:\n"));
    let (code, _, said) = run(["client", "list"]);
    assert!(code == 2 && said.contains("--config <FILE>"), "{said}");
}

#[tokio::test]
async fn a_running_sidecar_takes_changes_up_by_itself() {
    let folder = workshop(None);
    let nowhere =
        "listen: {address: \"127.0.0.1:0\"}\nmetrics: {address: \"127.0.0.1:0\"}\nadmin: {address: \"127.0.0.1:0\"}\n";
    folder.write("tagwarden.yaml", CONFIG.replace("policies/", "policy.yaml") + nowhere);
    folder.write(
        "policy.yaml",
        "version: 1\nroles: {r: {}}\nbindings: [{roles: [r], when: {client_id: a}}]\nfeatures: {\"v:f\": {}}\n",
    );
    let secret = |out: String| printed(&out)[1].1.to_owned();
    let first = secret(fine(&folder, &["add", "a"]).0);
    let sidecar = Process::serve(&folder.path("tagwarden.yaml"), &[]).await;
    // A wrong one is 401, and 429 when it comes too often.
    let is_taken = async |secret: &str| {
        let headers = "content-type: application/x-www-form-urlencoded\r\n";
        let form = format!("grant_type=client_credentials&client_id=a&client_secret={secret}");
        let status = ask(sidecar.data, request("POST", "/oauth/token", headers, form)).await.status;
        assert!([200, 401, 429].contains(&status), "{status}");
        status == 200
    };
    let until_it_is = async |secret: &str, taken: bool| {
        until("the change", async || (is_taken(secret).await == taken).then_some(())).await;
    };
    assert!(is_taken(&first).await);
    fine(&folder, &["disable", "a"]);
    until_it_is(&first, false).await;
    fine(&folder, &["enable", "a"]);
    until_it_is(&first, true).await;
    let second = secret(fine(&folder, &["rotate", "a", "--expire-old", "0s"]).0);
    until_it_is(&second, true).await;
    assert!(!is_taken(&first).await);
    fine(&folder, &["remove", "a"]);
    until_it_is(&second, false).await;
    for secret in [&first, &second] {
        assert!(!sidecar.log().contains(secret), "{}", sidecar.log());
    }
}

//! The end (config.md, `drain`; Command line, Exit): SIGTERM, what is in flight, exit codes.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::support::client::{H2, Raw, ask, query, request};
use crate::support::process::{Process, run};
use crate::support::sidecar::{FINE, Setup, reader};
use crate::support::upstream::{Act, Upstream};
use crate::support::{Folder, until};

fn held() -> (Arc<Notify>, Act) {
    let gate = Arc::new(Notify::new());
    (Arc::clone(&gate), Act::Wait(gate, Box::new(Act::Feast)))
}

#[tokio::test]
async fn sigterm_is_not_ready_at_once_serves_on_and_finishes_what_is_in_flight() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("drain: {delay: 2s, timeout: 1h}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let ready = request("GET", "/readyz", "", "");
    assert_eq!(ask(sidecar.metrics, &ready).await.status, 200);
    let token = reader();
    let mut kept = Raw::connect(sidecar.data).await;
    assert_eq!(kept.ask(query(&token, FINE)).await.status, 200);
    let (gate, wait) = held();
    upstream.turns_to(wait);
    let mut begun = Raw::connect(sidecar.data).await;
    begun.send(query(&token, FINE)).await;
    until("the request upstream", async || (upstream.count() == 2).then_some(())).await;

    sidecar.terminate();
    sidecar.logged("\"message\":\"draining\"").await;
    let answer = ask(sidecar.metrics, &ready).await;
    assert_eq!(
        (answer.status, &answer.json()["ready"], &answer.json()["draining"]),
        (503, &false.into(), &true.into())
    );
    // For `drain.delay` everything is served, on old connections and on new ones.
    upstream.turns_to(Act::Feast);
    assert_eq!(kept.ask(query(&token, FINE)).await.status, 200);
    assert_eq!(ask(sidecar.data, query(&token, FINE)).await.status, 200);
    // Then no connection is taken, idle ones end, and what was begun is answered.
    until("no more connections", async || tokio::net::TcpStream::connect(sidecar.data).await.is_err().then_some(()))
        .await;
    assert_eq!(kept.end().await, b"");
    gate.notify_waiters();
    assert_eq!(begun.answer().await.status, 200);
    assert_eq!(begun.end().await, b"");
    assert_eq!(sidecar.exit().await, 0);
    let audit = setup.folder.read("audit.jsonl");
    assert_eq!(audit.lines().count(), 4, "{audit}");
}

#[tokio::test]
async fn http2_streams_in_flight_are_finished_too() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).start().await;
    let (gate, wait) = held();
    upstream.turns_to(wait);
    let h2 = H2::connect(sidecar.data).await;
    let token = reader();
    let (in_flight, finished) = tokio::join!(h2.query(&token, FINE), async {
        until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
        let data = sidecar.data;
        let stopping = tokio::spawn(sidecar.stop());
        until("no more connections", async || tokio::net::TcpStream::connect(data).await.is_err().then_some(())).await;
        gate.notify_waiters();
        stopping.await.unwrap()
    });
    assert_eq!((in_flight.status, finished), (200, true));
    until("the end of the connection", async || h2.is_closed().then_some(())).await;
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut_and_told() {
    let upstream = Upstream::always(Act::Hang).await;
    let setup = Setup::new(&upstream).with("drain: {delay: 0ms, timeout: 300ms}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let mut begun = Raw::connect(sidecar.data).await;
    begun.send(query(&reader(), FINE)).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    sidecar.terminate();
    assert_eq!(sidecar.exit().await, 1);
    assert_eq!(begun.end().await, b"");
    assert!(sidecar.log().contains("not everything in flight was finished"), "{}", sidecar.log());
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("drain: {delay: 1h, timeout: 1h}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    sidecar.terminate();
    sidecar.logged("\"message\":\"draining\"").await;
    assert_eq!(ask(sidecar.data, query(&reader(), FINE)).await.status, 200);
    sidecar.terminate();
    assert_eq!(sidecar.exit().await, 1);
}

fn serve(config: PathBuf) -> (i32, String, String) {
    run(["serve".into(), "--config".into(), config.into_os_string()])
}

#[test]
fn what_does_not_load_does_not_start_and_is_told_whole() {
    let fresh = || Setup::at("http://127.0.0.1:9");
    let setup = fresh().policy("version: 1\nroles: {a: {tags: {x: Dany}, defalt: Allow}}\n");
    let (code, out, said) = serve(setup.write());
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(said.contains("policy.yaml:2:23: error[unknown-word]: ") && said.contains("`Dany`"), "{said}");
    assert!(
        said.contains("policy.yaml:2:30: error[unknown-key]: ") && said.contains("did you mean `default`?"),
        "{said}"
    );

    let (code, _, said) = serve(fresh().with("lisen: {}").with("limits: {inflight: many}").write());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("error[unknown-key]: unknown key `lisen`") && said.contains("`inflight`"), "{said}");

    for (name, what) in [("policy.yaml", "does not exist"), ("jwks.json", "cannot be"), ("own.token", "cannot be used")]
    {
        let setup = fresh().upstream_with("authorization: {bearer_file: own.token}");
        setup.folder.write("own.token", "x");
        let config = setup.write();
        std::fs::remove_file(setup.folder.path(name)).unwrap();
        let (code, _, said) = serve(config);
        assert!(code == 3 && said.contains(name) && said.contains(what), "{name}: {code} {said}");
        assert_eq!(said.lines().filter(|line| !line.starts_with('{')).count(), 1, "{said}");
    }
    let folder = Folder::new();
    let (code, _, said) = serve(folder.path("nowhere.yaml"));
    assert!(code == 3 && said.contains("nowhere.yaml` does not exist"), "{said}");
}

#[tokio::test]
async fn limits_beyond_all_measure_are_taken_or_refused_and_do_not_panic() {
    for limit in ["connections", "inflight"] {
        let setup = Setup::at("http://127.0.0.1:9").with(&format!("limits: {{{limit}: 9223372036854775807}}"));
        let config = setup.write();
        match tagwarden::live::read_config(&config) {
            Err(error) => assert!(error.to_string().contains(limit), "{error}"),
            Ok(_) => {
                let sidecar = Process::serve(&config, &[]).await;
                let answer = ask(sidecar.data, request("GET", "/nowhere", "", "")).await;
                assert_eq!(answer.status, 404);
            }
        }
    }
}

#[test]
fn an_address_that_is_taken_is_a_failure_and_not_a_mistake_in_a_file() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = Setup::at("http://127.0.0.1:9");
    setup.metrics = taken.local_addr().unwrap().to_string();
    let (code, _, said) = serve(setup.write());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("`{}` cannot be listened on", setup.metrics)), "{said}");
}

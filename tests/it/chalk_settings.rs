//! The settings of the Chalk dialect in a running sidecar.

use tagwarden::app::App;
use tagwarden::live;
use tagwarden::reload::WatchSettings;

use crate::support::sidecar::{POLICY, Setup};
use crate::support::upstream::Upstream;

fn setup(upstream: &Upstream) -> Setup {
    let mut setup = Setup::new(upstream)
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://127.0.0.1:8080\"}")
        .with("chalk: {environment: prod}");
    setup.upstream = setup.upstream.replace("feast", "chalk");
    setup
}

/// A Chalk server understands more spellings than stand in a catalogue.
#[tokio::test]
async fn names_outside_the_catalogue_never_take_the_default_of_a_role() {
    let open = format!("{POLICY}unknown_features: default\n");
    let message = "`unknown_features: default` does not go with `dialect: chalk`";
    let upstream = Upstream::start().await;
    let bad = setup(&upstream).policy(&open);
    let (config, file) = live::read_config(&bad.write()).unwrap();
    let refused = App::bind(Some(file), config, WatchSettings::default()).await.unwrap_err().to_string();
    assert!(refused.contains(message), "{refused}");
    let sidecar = setup(&upstream).start().await;
    sidecar.setup.folder.write("policy.yaml", &open);
    sidecar.until_state("policy", message).await;
    // What does not set it loads again.
    sidecar.setup.folder.write("policy.yaml", format!("{POLICY}unknown_features: deny\n"));
    sidecar.until_state("policy", "ok").await;
}

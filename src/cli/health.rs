//! `healthcheck`: asks `/readyz`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::HeaderMap;

use crate::cli::{complain, exit, print};
use crate::fetch::{Client, Url};
use crate::live;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration of the sidecar; left out: the default metrics address
    #[arg(long, value_name = "FILE", env = "TAGWARDEN_CONFIG")]
    config: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> u8 {
    let address = match &arguments.config {
        None => SocketAddr::from(([127, 0, 0, 1], 9902)),
        Some(path) => match live::read_config(path) {
            Ok((config, _)) => config.metrics,
            Err(error) => {
                complain(&error.to_string());
                return exit::DOES_NOT_LOAD;
            }
        },
    };
    match ask(address) {
        Ok(()) => {
            print("ready\n");
            exit::FINE
        }
        Err(why) => {
            complain(&why);
            exit::FAILED
        }
    }
}

fn ask(mut address: SocketAddr) -> Result<(), String> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let url = Url::parse(&format!("http://{address}/readyz")).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let answer = runtime.block_on(Client::new().get(&url, HeaderMap::new(), 64 << 10, Duration::from_secs(3)));
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(format!("not ready: {}", String::from_utf8_lossy(&answer.body).trim()))
}

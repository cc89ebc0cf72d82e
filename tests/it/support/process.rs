//! The program itself, as a process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::until;

/// The program with these arguments; the environment of the tests does not reach it.
pub fn command<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagwarden"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("TAGWARDEN_CONFIG").stdin(Stdio::null());
    command
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// `tagwarden serve`, running. Killed where a test leaves it behind.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Callers.
    pub data: SocketAddr,
    /// Prometheus and probes.
    pub metrics: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

impl Process {
    /// Starts it with this configuration and waits until it listens.
    pub async fn serve(config: &Path, more: &[&str]) -> Self {
        let mut command = command(["serve", "--config"]);
        command.arg(config).args(more).stdout(Stdio::null());
        Self::of(command).await
    }

    /// The same, with so many files that it may open at once.
    pub async fn serve_with_files(config: &Path, files: usize) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" serve --config \"$1\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_tagwarden")]).arg(config);
        command.env_remove("RUST_LOG").env_remove("TAGWARDEN_CONFIG").stdin(Stdio::null()).stdout(Stdio::null());
        Self::of(command).await
    }

    /// This command, which serves.
    pub async fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (log, errors) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let heard = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                heard.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, log, data: nowhere, metrics: nowhere, admin: nowhere };
        let line = process.logged("\"message\":\"listening\"").await;
        let said: Value = serde_json::from_str(&line).unwrap();
        let at = |name: &str| said[name].as_str().unwrap().parse().unwrap();
        (process.data, process.metrics, process.admin) = (at("data"), at("metrics"), at("admin"));
        process
    }

    /// Waits for a line of the log that holds this.
    pub async fn logged(&mut self, what: &str) -> String {
        until(what, async || {
            let found = self.log().lines().find(|line| line.contains(what)).map(str::to_owned);
            if found.is_none() {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "it ended with {ended:?}: {}", self.log());
            }
            found
        })
        .await
    }

    /// All that it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// What it wrote to standard output, where that is a pipe.
    pub fn output(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// A figure of its memory in KiB, as `/proc` tells it: `VmRSS` now, `VmHWM` the most that there was.
    pub fn memory(&self, figure: &str) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Files and sockets that it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits for its end; the exit code.
    pub async fn exit(&mut self) -> i32 {
        until("the end of the process", async || self.child.try_wait().unwrap()).await.code().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

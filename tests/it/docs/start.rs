//! docs/start.md, with its servers: a line of an `sh` block is a terminal of its own, and a `text` block below it is what
//! that terminal is waited for to say. Addresses are this run's; `…` stands for anything.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Folder, START, blocks, session, text_of};

/// A command that stays up, and what it says.
struct Terminal {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Terminal {
    fn open(folder: &Path, command: &str, variable: &str) -> Self {
        let mut shell = session::shell(folder, &format!("exec 2>&1; exec {command}"));
        shell.env("TMPDIR", folder).env("FEATURE_SERVER", variable).env_remove("RUST_LOG");
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line like this one.
    fn says(&mut self, shown: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(line) = self.said.iter().find(|line| session::alike(shown, line)) {
                return line.clone();
            }
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(why) => panic!("{START}: nothing like `{shown}` ({why}) in\n{}", self.said.join("\n")),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The address behind this in a line.
fn address(line: &str, behind: &str) -> String {
    let rest = line.split_once(behind).unwrap_or_else(|| panic!("no `{behind}` in {line}")).1;
    rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect()
}

#[test]
fn the_first_ten_minutes_are_as_they_are_told() {
    const FEATURE_SERVER: &str = "$FEATURE_SERVER";
    const SIDECAR: &str = "http://127.0.0.1:8081/";
    let (folder, text) = (Folder::new(START), text_of(START));
    let mut open: Vec<Terminal> = Vec::new();
    let (mut server, mut sidecar) = (String::new(), String::new());
    let (mut steps, mut wrong) = (0, String::new());
    for block in blocks(START, &text) {
        match block.language.as_str() {
            "yaml" => {
                let name = block.text.lines().next().unwrap().trim_start_matches("# ");
                // Every port is a free one; what the issuer calls itself stays.
                let free = ["8081", "9912", "9911"].iter().fold(block.text.clone(), |text, port| {
                    text.replace(&format!("address: \"127.0.0.1:{port}\""), "address: \"127.0.0.1:0\"")
                });
                std::fs::write(folder.0.join(name), free).unwrap();
            }
            "sh" if block.text.starts_with("export FEATURE_SERVER=") => assert!(!server.is_empty()),
            "sh" => open.push(Terminal::open(&folder.0, block.text.trim(), &server)),
            "text" => {
                for shown in block.text.lines() {
                    let line = open.last_mut().unwrap().says(shown);
                    if shown.contains("feature server") {
                        server = format!("http://{}", address(&line, "http://"));
                    }
                    if shown.contains("listening") {
                        sidecar = format!("http://{}/", address(&line, "\"data\":\""));
                    }
                }
            }
            "console" => {
                let here = block.text.replace(FEATURE_SERVER, &server);
                let here = if sidecar.is_empty() { here } else { here.replace(SIDECAR, &sidecar) };
                let (ran, printed) = session::run(&block.place, &here, &folder.0);
                steps += ran;
                if printed != here {
                    wrong += &format!("{}\n{printed}\n", block.place);
                }
            }
            other => panic!("{}: a block of the language `{other}`", block.place),
        }
    }
    assert_eq!(wrong, "", "{START} shows something else");
    assert!(steps >= 12 && open.len() == 2, "{steps} {}", open.len());
}

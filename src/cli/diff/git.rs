//! `git:REV:PATH`: files as they stand in a revision, read by the program `git`.
//!
//! Revision and path come from a command line that a script may have put together: neither reaches `git` where it could
//! be an option, a pattern or a command.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use crate::diagnostic::SourceFile;

/// What the loader reads at most of files that are no revision's, too.
const LARGEST_SET: u64 = 256 << 20;

/// Reads a file, or the `*.yaml` and `*.yml` of a folder but for folders named `tests`, in the order in which the
/// loader reads those of a folder. `place`: `REV:PATH`, the path relative to the current folder.
///
/// # Errors
/// In words: no git, no repository, no such revision, no such path, nothing to read there.
pub fn read(place: &str) -> Result<Vec<Arc<SourceFile>>, String> {
    let Some((revision, path)) = place.split_once(':').filter(|(revision, _)| !revision.is_empty()) else {
        return Err(format!("`git:{place}` is not of the form `git:REV:PATH`"));
    };
    let prefix = text(&git(&["rev-parse", "--show-prefix"], &[])?, "the place in the repository")?;
    let within = within(prefix.trim_end_matches(['\n', '\r']), path)?;
    let tree = git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{tree}}")], &[]);
    let tree = tree.ok().and_then(|out| String::from_utf8(out).ok()).map(|out| out.trim().to_owned());
    let Some(tree) = tree.filter(|id| is_id(id)) else {
        return Err(format!("revision `{revision}` does not exist in this repository"));
    };
    let mut found = Vec::new();
    if within.is_empty() {
        folder(&tree, place, &mut found)?;
    } else {
        // The path is taken letter by letter (GIT_LITERAL_PATHSPECS).
        let listed = git(&["ls-tree", "-z", "--full-tree", &tree, "--", &within], &[])?;
        let entry = entries(&listed).into_iter().find(|entry| entry.path == within);
        match entry {
            None => return Err(format!("`{path}` does not exist in revision `{revision}`")),
            Some(entry) if entry.kind == "tree" => folder(&entry.id, place, &mut found)?,
            Some(entry) => found.push((format!("git:{place}"), entry)),
        }
    }
    contents(found)
}

/// A path of the repository, from the current folder's and one relative to it.
fn within(prefix: &str, path: &str) -> Result<String, String> {
    let mut parts: Vec<String> = prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let mut given = PathBuf::from(path);
    if given.is_absolute() {
        let top = text(&git(&["rev-parse", "--show-toplevel"], &[])?, "the repository's folder")?;
        let below = given.strip_prefix(top.trim_end_matches(['\n', '\r'])).map(Path::to_owned);
        given = below.map_err(|_| format!("`{path}` lies outside this repository"))?;
        parts.clear();
    }
    for part in given.components() {
        match part {
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                parts.pop().ok_or_else(|| format!("`{path}` leads out of this repository"))?;
            }
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
        }
    }
    Ok(parts.join("/"))
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One line of `ls-tree`.
struct Entry {
    mode: String,
    kind: String,
    id: String,
    path: String,
}

/// `MODE SP TYPE SP ID TAB PATH NUL`, as often as there are; what is not UTF-8 is no name of ours.
fn entries(listed: &[u8]) -> Vec<Entry> {
    let one = |line: &[u8]| {
        let (what, path) = std::str::from_utf8(line).ok()?.split_once('\t')?;
        let [mode, kind, id] = what.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let [mode, kind, id]: [&str; 3] = [mode, kind, id];
        is_id(id).then(|| Entry { mode: mode.into(), kind: kind.into(), id: id.into(), path: path.into() })
    };
    listed.split(|byte| *byte == 0).filter_map(one).collect()
}

/// The files of a folder that the loader would read.
fn folder(tree: &str, place: &str, found: &mut Vec<(String, Entry)>) -> Result<(), String> {
    let listed = git(&["ls-tree", "-r", "-z", "--full-tree", tree], &[])?;
    let wanted = |entry: &Entry| {
        let mut parts = entry.path.split('/').rev();
        let file = parts.next().unwrap_or_default();
        let yaml = Path::new(file).extension().is_some_and(|end| end == OsStr::new("yaml") || end == OsStr::new("yml"));
        yaml && !file.starts_with('.') && !parts.any(|part| part.starts_with('.') || part == "tests")
    };
    let mut all: Vec<Entry> = entries(&listed).into_iter().filter(wanted).collect();
    if all.is_empty() {
        return Err(format!("folder `git:{place}` has no file that ends in .yaml or .yml"));
    }
    all.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
    let base = place.trim_end_matches('/');
    let slash = if base.ends_with(':') { "" } else { "/" };
    found.extend(all.into_iter().map(|entry| (format!("git:{base}{slash}{}", entry.path), entry)));
    Ok(())
}

/// What stands in the files, all by one `git cat-file --batch`.
fn contents(found: Vec<(String, Entry)>) -> Result<Vec<Arc<SourceFile>>, String> {
    if let Some((name, entry)) = found.iter().find(|(_, entry)| entry.kind != "blob" || entry.mode == "120000") {
        let what = if entry.mode == "120000" { "a link, and links are not followed in a revision" } else { "no file" };
        return Err(format!("`{name}` is {what}"));
    }
    let asked: Vec<u8> = found.iter().flat_map(|(_, entry)| entry.id.bytes().chain([b'\n'])).collect();
    let all = git(&["cat-file", "--batch"], &asked)?;
    let mut rest = all.as_slice();
    let mut files = Vec::with_capacity(found.len());
    for (name, entry) in found {
        let broken = || format!("`{name}` cannot be read from the repository");
        // `ID SP blob SP SIZE LF CONTENT LF`
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let (head, body) = rest.split_at_checked(end + 1).ok_or_else(broken)?;
        let head = std::str::from_utf8(head).map_err(|_| broken())?.trim_end();
        let size = head.strip_prefix(&*entry.id).and_then(|head| head.strip_prefix(" blob ")).ok_or_else(broken)?;
        let size: usize = size.parse().map_err(|_| broken())?;
        let (content, after) = body.split_at_checked(size).ok_or_else(broken)?;
        rest = after.strip_prefix(b"\n").ok_or_else(broken)?;
        let text = String::from_utf8(content.to_vec()).map_err(|_| format!("`{name}` is not UTF-8 text"))?;
        files.push(Arc::new(SourceFile { name, text }));
    }
    Ok(files)
}

fn text(out: &[u8], what: &str) -> Result<String, String> {
    String::from_utf8(out.to_vec()).map_err(|_| format!("{what} is not named in UTF-8"))
}

/// Runs git; what it writes to standard output. `input`: what it is given.
fn git(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.args(arguments).env("GIT_LITERAL_PATHSPECS", "1").env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("git cannot be started: {error}"))?;
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        // Both ways at once: git answers while it is still asked.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    });
    let Output { status, stdout, stderr } = output.map_err(|error| format!("git cannot be waited for: {error}"))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        let said = said.lines().next().unwrap_or_default();
        return Err(format!("git failed: {}", said.strip_prefix("fatal: ").unwrap_or(said)));
    }
    if u64::try_from(stdout.len()).unwrap_or(u64::MAX) > LARGEST_SET {
        return Err("the files of the revision are together larger than 256 MiB".to_owned());
    }
    Ok(stdout)
}

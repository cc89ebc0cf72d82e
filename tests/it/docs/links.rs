//! The pages hang together: every link and anchor leads somewhere, every page is reached from the index, each says for whom
//! it is, and lines are short enough to be read.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{documents, repository, text_of};

/// Where one begins to read.
const INDEX: &str = "docs/README.md";

/// A text without its fenced blocks.
fn prose(text: &str) -> String {
    let (mut prose, mut fenced) = (String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// The targets of links.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in prose(text).lines().filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut name = anchor.clone();
        for number in 1.. {
            if found.insert(name) {
                break;
            }
            name = format!("{anchor}-{number}");
        }
    }
    found
}

/// A path within the repository without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            assert!(plain.pop(), "{} leads out of the repository", path.display());
        } else if part != Component::CurDir {
            plain.push(part);
        }
    }
    plain
}

/// The file that a link of a document leads to, and the anchor in it; none for other sites.
fn target(document: &str, link: &str) -> Option<(PathBuf, Option<String>)> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    let from = Path::new(document);
    let path = if path.is_empty() { from.to_owned() } else { plain(&from.parent().unwrap().join(path)) };
    Some((path, anchor))
}

/// Why a link leads nowhere.
fn fault(document: &str, link: &str) -> Option<String> {
    let (path, anchor) = target(document, link)?;
    let file = repository().join(&path);
    if !file.exists() {
        return Some(format!("{document}: `{link}`: there is no {}", path.display()));
    }
    let anchor = anchor?;
    let there = anchors(&std::fs::read_to_string(&file).unwrap());
    (!there.contains(&anchor)).then(|| format!("{document}: `{link}`: no such heading among {there:?}"))
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for document in documents() {
        for link in links(&text_of(&document)) {
            seen += 1;
            faults.extend(fault(&document, &link));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 150, "{seen}");
}

#[test]
fn every_page_is_reached_from_the_index() {
    let pages: BTreeSet<String> = documents().into_iter().collect();
    let mut reached = BTreeSet::from([INDEX.to_owned()]);
    let mut left = vec![INDEX.to_owned()];
    while let Some(document) = left.pop() {
        for (path, _) in links(&text_of(&document)).iter().filter_map(|link| target(&document, link)) {
            let path = path.to_str().unwrap().to_owned();
            if pages.contains(&path) && reached.insert(path.clone()) {
                left.push(path);
            }
        }
    }
    assert_eq!(pages.difference(&reached).collect::<Vec<_>>(), Vec::<&String>::new());
    // The index itself names every page of docs/, and every page leads back to it.
    let index: BTreeSet<PathBuf> =
        links(&text_of(INDEX)).iter().filter_map(|link| target(INDEX, link)).map(|(path, _)| path).collect();
    for page in pages.iter().filter(|page| page.starts_with("docs/") && *page != INDEX) {
        assert!(index.contains(Path::new(page)), "{INDEX} does not name {page}");
        let back =
            links(&text_of(page)).iter().filter_map(|link| target(page, link)).any(|(to, _)| to == Path::new(INDEX));
        assert!(back, "{page} does not lead back to {INDEX}");
    }
}

#[test]
fn lines_are_short_but_for_tables_and_what_programs_print() {
    let mut long = Vec::new();
    for document in documents().into_iter().filter(|document| document != "CHANGELOG.md") {
        for line in prose(&text_of(&document)).lines() {
            if line.chars().count() > 140 && !line.trim_start().starts_with('|') {
                long.push(format!("{document}: {line}"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn what_leads_nowhere_is_found() {
    assert!(fault(INDEX, "no-such-page.md").is_some() && fault(INDEX, "policy.md#no-such-heading").is_some());
    assert!(
        fault(INDEX, "policy.md#how-a-permission-is-found").is_none() && fault(INDEX, "https://a.example/").is_none()
    );
    assert_eq!(links("[a](b.md) and `[c](d)`\n```\n[e](f)\n```\n[g\nh](i#j)").len(), 3);
    let anchors = anchors("# A `b` c\n## A\n## A\n```\n# x\n```\n## From a decision_id, to `x`\n");
    assert_eq!(anchors.into_iter().collect::<Vec<_>>(), ["a", "a-1", "a-b-c", "from-a-decision_id-to-x"]);
}

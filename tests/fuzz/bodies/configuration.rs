//! Configurations: what is read has no errors and what has errors is not read, and the routes of
//! one that is read are plain paths.

use std::path::Path;
use std::sync::Arc;

use tagwarden::config::{read, units};
use tagwarden::diagnostic::SourceFile;

/// One run.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Arc::new(SourceFile { name: "tagwarden.yaml".to_owned(), text: text.to_owned() });
    let (config, report) = read(&file, Path::new("/nowhere"), &|name| (name == "A").then(|| "1".to_owned()));
    assert_eq!(config.is_none(), report.has_errors(), "{report}");
    for route in config.iter().flat_map(|config| &config.routes) {
        assert_eq!(units::plain_path(&route.path), Some(route.path.as_str()));
    }
}

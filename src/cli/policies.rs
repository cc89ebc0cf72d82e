//! Reading policy and catalogue files, for the commands that take them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Report, SourceFile};
use crate::live;
use crate::policy::file::{self, Layer, LayerKind};
use crate::policy::{self, Policy, lint};
use crate::reload::{self, Source};

/// What was loaded: the policy where there is one, and every mistake.
pub struct Loaded {
    pub policy: Option<Policy>,
    pub report: Report,
    /// The policy files, and the catalogue files: what stands where.
    pub rules: Layer,
    pub imported: Layer,
}

/// The texts of files and folders.
pub fn texts(paths: &[impl AsRef<Path>]) -> Result<Vec<Arc<SourceFile>>, String> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    let files = reload::read(&Source::yaml(paths)).map_err(|error| error.to_string())?;
    live::texts(&files).map_err(|error| error.to_string())
}

/// Loads a policy over catalogues; `lints`: with warnings.
pub fn load(policies: &Path, catalogues: &[PathBuf], lints: bool) -> Result<Loaded, String> {
    let (rules_texts, catalogue_texts) = (texts(&[policies])?, texts(catalogues)?);
    let mut report = Report::default();
    let rules = file::read(LayerKind::Policy, &rules_texts, &mut report);
    let imported = file::read(LayerKind::Catalogue, &catalogue_texts, &mut report);
    policy::empty_catalogue(&catalogue_texts, &imported, &mut report);
    let policy = policy::assemble(&rules, &imported, &mut report);
    if let (Some(policy), true) = (&policy, lints) {
        lint::lint(policy, &rules, &imported, &mut report);
    }
    report.sort();
    Ok(Loaded { policy, report, rules, imported })
}

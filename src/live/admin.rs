//! The token of the admin listener: a file that reloads like other secrets.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use super::load::secret;
use super::{Live, LoadError};
use crate::config::Config;
use crate::reload::{Files, ReadError};

/// What a token has at least: 16 characters of base64 are 96 bits.
const SHORTEST: usize = 16;

/// The token that operators show. Its hash alone is kept.
pub struct AdminToken(Digest);

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken")
    }
}

impl AdminToken {
    fn read(path: &Path) -> Result<Self, LoadError> {
        let unusable = |why: &str| LoadError::Secret { path: path.to_owned(), why: why.to_owned() };
        let bytes = secret(path)?;
        let token = bytes.trim_ascii();
        if token.len() < SHORTEST {
            return Err(unusable("its token is shorter than 16 characters"));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(unusable("it holds more than one word of visible ASCII, which fits in no header"));
        }
        Ok(Self(digest(&SHA256, token)))
    }

    /// Whether this is it. Takes as long whatever the difference is.
    pub fn is(&self, token: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_ref(), digest(&SHA256, token).as_ref()).is_ok()
    }
}

/// The token of a configuration; `None`: none is asked for.
pub(super) fn token(config: &Config) -> Result<Option<Arc<AdminToken>>, LoadError> {
    config.admin.token_file.as_deref().map(|path| AdminToken::read(path).map(Arc::new)).transpose()
}

impl Live {
    pub(super) fn admin_changed(self: &Arc<Self>, _: Result<Files, ReadError>) {
        let mut inner = self.lock();
        match token(&inner.config) {
            Ok(token) => {
                self.admin_token.store(token);
                inner.states.admin.stale = None;
                self.proxy.metrics.reloads.with_label_values(&["admin", "ok"]).inc();
                tracing::info!("the admin listener's token was reloaded");
            }
            Err(error) => {
                inner.states.admin.stale = Some(error.to_string());
                self.failed("admin", &error);
            }
        }
        self.show(&inner);
    }
}

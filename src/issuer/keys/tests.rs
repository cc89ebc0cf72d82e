use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("tagwarden-keys-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn error(&self) -> String {
        SigningKeys::read(&self.0).unwrap_err().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn claims(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[test]
fn a_key_is_made_once_for_its_owner_alone() {
    let folder = Folder::new();
    let made = SigningKeys::read_or_make(&folder.0).unwrap();
    let again = SigningKeys::read_or_make(&folder.0).unwrap();
    assert_eq!(made.jwks, again.jwks);
    let file = fs::read_dir(&folder.0).unwrap().next().unwrap().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.0), mode(&file.path())), (0o700, 0o600));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    assert_eq!(format!("{made:?}"), "SigningKeys(1)");
}

#[test]
fn the_newest_signs_and_all_verify() {
    let folder = Folder::new();
    let first = SigningKeys::read_or_make(&folder.0).unwrap();
    let path = fs::read_dir(&folder.0).unwrap().next().unwrap().unwrap().path();
    let second = make(&folder.0).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().append(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
    let both = SigningKeys::read(&folder.0).unwrap();
    let said = claims(json!({"iss": "i", "aud": "a", "exp": 100}));
    let (old, new) = (first.sign(Use::Access, &said).unwrap(), both.sign(Use::Access, &said).unwrap());
    assert_ne!(kid(&old), kid(&new));
    assert!(second.to_str().unwrap().ends_with(&format!("{}.pem", kid(&new))));
    for token in [&old, &new] {
        assert_eq!(both.verify(Use::Access, token, "i", "a", 99), Some(said.clone()));
    }
    assert_eq!(first.verify(Use::Access, &new, "i", "a", 99), None);
    // Of two of one second, as Kubernetes writes them, the last by name.
    for path in [&path, &second] {
        fs::File::options().append(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }
    let last = if path > second { kid(&old) } else { kid(&new) };
    assert_eq!(kid(&SigningKeys::read(&folder.0).unwrap().sign(Use::Access, &said).unwrap()), last);
}

#[test]
fn what_is_for_another_use_issuer_audience_or_time_does_not_verify() {
    let folder = Folder::new();
    let keys = SigningKeys::read_or_make(&folder.0).unwrap();
    let said = claims(json!({"iss": "i", "aud": "a", "exp": 100}));
    let token = keys.sign(Use::Access, &said).unwrap();
    assert!(keys.verify(Use::Access, &token, "i", "a", 99).is_some());
    assert_eq!(keys.verify(Use::Access, &token, "i", "a", 100), None);
    assert_eq!(keys.verify(Use::Assertion, &token, "i", "a", 99), None);
    assert_eq!(keys.verify(Use::Access, &token, "j", "a", 99), None);
    assert_eq!(keys.verify(Use::Access, &token, "i", "b", 99), None);
    let assertion = keys.sign(Use::Assertion, &said).unwrap();
    assert_eq!(keys.verify(Use::Access, &assertion, "i", "a", 99), None);
    for missing in ["iss", "aud", "exp"] {
        let mut said = said.clone();
        said.remove(missing);
        let token = keys.sign(Use::Access, &said).unwrap();
        assert_eq!(keys.verify(Use::Access, &token, "i", "a", 99), None, "{missing}");
    }
    let mut garbage = token.clone();
    garbage.pop();
    for token in ["", "a.b.c", &garbage] {
        assert_eq!(keys.verify(Use::Access, token, "i", "a", 99), None, "{token}");
    }
}

#[test]
fn what_is_no_folder_of_keys_says_why() {
    let folder = Folder::new();
    assert!(folder.error().contains("No such file or directory"), "{}", folder.error());
    fs::create_dir(&folder.0).unwrap();
    fs::write(folder.0.join("notes.txt"), "x").unwrap();
    fs::write(folder.0.join(".hidden.pem"), "x").unwrap();
    assert!(folder.error().ends_with("it holds no `.pem` file with a signing key"), "{}", folder.error());
    let file = folder.0.join("a.pem");
    let key = include_str!("../../../tests/fixtures/signing-key.pem");
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for text in ["", "x", public, &format!("{key}{key}"), &key.replacen("MIGH", "AAAA", 1)] {
        fs::write(&file, text).unwrap();
        let error = folder.error();
        assert!(error.contains("a.pem") && error.contains("it is not one P-256 private key"), "{error}");
    }
    fs::write(&file, key).unwrap();
    assert!(SigningKeys::read(&folder.0).is_ok());
}

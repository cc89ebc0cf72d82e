use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tagwarden-store-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refused(path: &Path) -> String {
    Embedded::open(path).await.unwrap_err().to_string()
}

#[tokio::test]
async fn the_file_and_its_folder_are_the_owners_alone() {
    let folder = Folder::new();
    let path = folder.0.join("a/b/tokens.redb");
    let store = Embedded::open(&path).await.unwrap();
    assert_eq!([mode(&path), mode(&folder.0.join("a/b")), mode(&folder.0.join("a"))], [0o600, 0o700, 0o700]);
    assert_eq!(format!("{store:?}"), "Embedded { .. }");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = Folder::new();
    let path = folder.0.join("tokens.redb");
    let store = Embedded::open(&path).await.unwrap();
    let shown = path.display();
    let expected = format!("`{shown}` is in use by another process: replicas share a redis, not a file");
    assert_eq!(refused(&path).await, expected);
    drop(store);
    Embedded::open(&path).await.unwrap();

    let text = folder.0.join("text");
    std::fs::write(&text, "no store at all, whatever it is".repeat(300)).unwrap();
    let error = refused(&text).await;
    assert!(error.starts_with(&format!("`{}` does not read as a token store: ", text.display())), "{error}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("no store at all"), "and it is left alone");

    let error = refused(&text.join("tokens.redb")).await;
    assert!(error.starts_with(&format!("the token store `{}` cannot be opened: ", text.display())), "{error}");
    let error = refused(&folder.0).await;
    assert!(error.starts_with(&format!("the token store `{}` cannot be opened: ", folder.0.display())), "{error}");
}

/// How many rows the tables hold.
fn rows(store: &Embedded) -> [u64; 5] {
    use redb::ReadableTableMetadata as _;
    let database = Arc::clone(store.handle.open.lock().unwrap().as_ref().unwrap());
    let transaction = database.begin_read().unwrap();
    [
        transaction.open_table(TOKENS).unwrap().len().unwrap(),
        transaction.open_table(FAMILIES).unwrap().len().unwrap(),
        transaction.open_table(ENDED_TOKENS).unwrap().len().unwrap(),
        transaction.open_table(ENDED_FAMILIES).unwrap().len().unwrap(),
        transaction.open_table(ENDED_CLIENTS).unwrap().len().unwrap(),
    ]
}

#[tokio::test]
async fn a_sweep_removes_what_has_expired_and_nothing_else() {
    const EACH: u64 = 2 * SWEPT_AT_ONCE as u64 + 7;
    let folder = Folder::new();
    let store = Embedded::open(&folder.0.join("tokens.redb")).await.unwrap();
    let fill = |transaction: &WriteTransaction| {
        for number in 0..EACH {
            let (name, expires) = (format!("{number:032x}"), 1000 + 100 * (number % 2));
            let token = Hash::of(&name).0;
            transaction.open_table(TOKENS)?.insert(&token, (expires, name.as_str()))?;
            let row = ("c", &token, None, 0, 1, expires, expires);
            transaction.open_table(FAMILIES)?.insert(name.as_str(), row)?;
            let until = expires - KEPT;
            transaction.open_table(ENDED_TOKENS)?.insert(name.as_str(), until)?;
            transaction.open_table(ENDED_FAMILIES)?.insert(name.as_str(), until)?;
            transaction.open_table(ENDED_CLIENTS)?.insert(name.as_str(), (1, until))?;
        }
        Ok(((), None))
    };
    store.write(fill).await.unwrap();
    for (now, left) in [(999, EACH), (1000, EACH / 2), (1099, EACH / 2), (1100, 0)] {
        store.sweep(now).await.unwrap();
        assert_eq!(rows(&store), [left; 5], "at {now}");
    }
}

#[tokio::test]
async fn a_step_that_has_begun_ends_although_nobody_waits() {
    let folder = Folder::new();
    let store = Embedded::open(&folder.0.join("tokens.redb")).await.unwrap();
    let what = Revocation::Token { jti: "t".to_owned(), until: 900 };
    {
        let mut asking = std::pin::pin!(store.revoke(&what, 100));
        std::future::poll_fn(|context| {
            drop(asking.as_mut().poll(context));
            std::task::Poll::Ready(())
        })
        .await;
    }
    while !store.revocations.ended("t", None, "c", 1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(rows(&store), [0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn after_a_fault_of_the_disk_the_file_is_opened_again() {
    let folder = Folder::new();
    let store = Embedded::open(&folder.0.join("tokens.redb")).await.unwrap();
    let what = Revocation::Token { jti: "t".to_owned(), until: 900 };
    store.revoke(&what, 100).await.unwrap();
    let full = || redb::Error::Io(std::io::ErrorKind::StorageFull.into());
    let error = store.write::<()>(move |_| Err(full())).await.unwrap_err().to_string();
    assert_eq!(error, "the token store cannot be read or written: I/O error: no storage space");
    assert!(store.handle.open.lock().unwrap().is_none());
    store.revoke(&Revocation::Token { jti: "u".to_owned(), until: 900 }, 100).await.unwrap();
    assert_eq!(rows(&store), [0, 0, 2, 0, 0]);
}

#[tokio::test]
async fn a_file_that_was_altered_is_refused() {
    let folder = Folder::new();
    let path = folder.0.join("tokens.redb");
    let store = Embedded::open(&path).await.unwrap();
    for number in 0..50 {
        let what = Revocation::Token { jti: format!("jti {number}"), until: 900 };
        store.revoke(&what, 100).await.unwrap();
    }
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len() - 4).filter(|at| &bytes[*at..at + 4] == b"jti ").collect::<Vec<_>>() {
        bytes[at] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    let error = refused(&path).await;
    assert!(error.starts_with(&format!("`{}` does not read as a token store: ", path.display())), "{error}");
}

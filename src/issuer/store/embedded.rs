//! The store of one process: a file (redb). A step is one transaction, on the disk before it is answered; after a crash the file
//! holds the last step that was answered, or the one that was under way.
//!
//! Steps run one after the other on a thread for blocking work. One that has begun ends, and what it revokes becomes known, even
//! when whoever asked has gone. What is swept makes room for what comes; the file does not shrink.

use std::fs::{DirBuilder, File, OpenOptions};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{
    Database, DatabaseError, Key, ReadableDatabase as _, ReadableTable, StorageError, TableDefinition, Value,
    WriteTransaction,
};
use tokio::sync::Semaphore;

use super::attempts::Attempts;
use super::{Ends, Family, Hash, REPEAT_SECONDS, Revocation, Revocations, Rotation, Standing, StoreError};
use crate::issuer::revocations::KEPT;

#[cfg(test)]
mod tests;

/// Every refresh token that has not expired: when it does, and its family.
const TOKENS: TableDefinition<'_, &[u8; 32], (u64, &str)> = TableDefinition::new("tokens");
/// The client, the newest token, the one before and when that was used, when the family began, [`Ends`].
const FAMILIES: TableDefinition<'_, &str, Row<'_>> = TableDefinition::new("families");
/// `jti` -> until.
const ENDED_TOKENS: TableDefinition<'_, &str, u64> = TableDefinition::new("ended tokens");
/// Family -> until.
const ENDED_FAMILIES: TableDefinition<'_, &str, u64> = TableDefinition::new("ended families");
/// Client -> (issued before, until).
const ENDED_CLIENTS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("ended clients");
/// When the last refresh token that was ever issued expires: for so long a client that was ended must be remembered.
const LAST: TableDefinition<'_, (), u64> = TableDefinition::new("last");

type Row<'a> = (&'a str, &'a [u8; 32], Option<&'a [u8; 32]>, u64, u64, u64, u64);

/// The pages of the file that are kept in memory.
const CACHE_BYTES: usize = 16 << 20;

/// How many entries are looked at, or removed, in one go by a sweep.
const SWEPT_AT_ONCE: usize = 8192;

/// A file.
pub struct Embedded {
    handle: Arc<Handle>,
    /// Writers queue here and not on threads.
    turn: Arc<Semaphore>,
    pub(super) attempts: Attempts,
    pub(super) revocations: Arc<Revocations>,
}

/// The open file. After a fault of the disk the library serves nothing until it is opened again, so that is done.
struct Handle {
    path: PathBuf,
    open: Mutex<Option<Arc<Database>>>,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let database = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            match &*open {
                Some(database) => Arc::clone(database),
                None => Arc::clone(open.insert(Arc::new(create(&self.path)?))),
            }
        };
        work(&database).map_err(|error| {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
            StoreError::Disk(Box::new(error))
        })
    }
}

/// A row of `FAMILIES`.
#[derive(Clone)]
struct Record {
    client: String,
    newest: [u8; 32],
    previous: Option<[u8; 32]>,
    used: u64,
    begun: u64,
    ends: Ends,
}

impl Record {
    fn of((client, newest, previous, used, begun, refresh, access): Row<'_>) -> Self {
        let ends = Ends { refresh, access };
        Self { client: client.to_owned(), newest: *newest, previous: previous.copied(), used, begun, ends }
    }

    fn row(&self) -> Row<'_> {
        let Self { client, newest, previous, used, begun, ends } = self;
        (client, newest, previous.as_ref(), *used, *begun, ends.refresh, ends.access)
    }

    fn family(self, id: &str) -> Family {
        Family { id: id.to_owned(), client: self.client, ends: self.ends }
    }
}

impl Embedded {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let handle = Arc::new(Handle { path: path.to_owned(), open: Mutex::new(None) });
        let opening = Arc::clone(&handle);
        let revoked = blocking(move || {
            opening.with(|database| tables(database).and_then(|()| revoked(database))).map_err(|error| match error {
                StoreError::Disk(error) => StoreError::Content { path: opening.path.clone(), error },
                error => error,
            })
        })
        .await?;
        let revocations = Arc::new(Revocations::local());
        revocations.add(revoked);
        Ok(Self { handle, turn: Arc::new(Semaphore::new(1)), attempts: Attempts::new(), revocations })
    }

    /// One transaction; what it gives besides is revoked in memory as well, once it is on the disk.
    async fn write<T: Send + 'static>(
        &self,
        step: impl FnOnce(&WriteTransaction) -> Result<(T, Option<Revocation>), redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let (handle, revocations) = (Arc::clone(&self.handle), Arc::clone(&self.revocations));
        blocking(move || {
            let _turn = turn;
            let (answer, revoked) = handle.with(|database| {
                let transaction = database.begin_write()?;
                let done = step(&transaction)?;
                transaction.commit()?;
                Ok(done)
            })?;
            revocations.add(revoked);
            Ok(answer)
        })
        .await
    }

    pub(super) async fn begin(&self, family: &Family, token: &Hash, now: u64) -> Result<(), StoreError> {
        let (Family { id, client, ends }, Hash(newest)) = (family.clone(), *token);
        self.write(move |transaction| {
            let mut families = transaction.open_table(FAMILIES)?;
            if families.get(id.as_str())?.is_none() {
                let record = Record { client, newest, previous: None, used: 0, begun: now, ends };
                families.insert(id.as_str(), record.row())?;
                remember(transaction, &newest, ends.refresh, &id)?;
            }
            Ok(((), None))
        })
        .await
    }

    pub(super) async fn rotate(&self, token: &Hash, next: &Hash, ends: Ends, now: u64) -> Result<Rotation, StoreError> {
        let (Hash(token), Hash(next)) = (*token, *next);
        self.write(move |transaction| {
            let ended = Ok((Rotation::Ended, None));
            let Some(id) = family_id(&transaction.open_table(TOKENS)?, &token, now)? else { return ended };
            let mut families = transaction.open_table(FAMILIES)?;
            let clients = transaction.open_table(ENDED_CLIENTS)?;
            let Some(mut record) = living(&families, &clients, &id, now)? else { return ended };

            if record.previous == Some(token) && record.newest == next {
                return Ok((Rotation::Rotated(record.family(&id)), None));
            }
            let newest = record.newest == token;
            let repeated = record.previous == Some(token) && now.abs_diff(record.used) <= REPEAT_SECONDS;
            if !newest && !repeated {
                families.remove(id.as_str())?;
                let until = record.ends.access;
                raise(&mut transaction.open_table(ENDED_FAMILIES)?, &id, until)?;
                let revocation = Revocation::Family { id: id.clone(), until };
                return Ok((Rotation::Reused(record.family(&id)), Some(revocation)));
            }
            if newest {
                (record.previous, record.used) = (Some(token), now);
            }
            record.newest = next;
            record.ends = Ends { refresh: ends.refresh, access: ends.access.max(record.ends.access) };
            families.insert(id.as_str(), record.row())?;
            remember(transaction, &next, ends.refresh, &id)?;
            let family = record.family(&id);
            Ok((if newest { Rotation::Rotated(family) } else { Rotation::Repeated(family) }, None))
        })
        .await
    }

    pub(super) async fn family_of(&self, token: &Hash, now: u64) -> Result<Option<Standing>, StoreError> {
        let (handle, Hash(token)) = (Arc::clone(&self.handle), *token);
        blocking(move || {
            handle.with(|database| {
                let transaction = database.begin_read()?;
                let Some(id) = family_id(&transaction.open_table(TOKENS)?, &token, now)? else { return Ok(None) };
                let families = transaction.open_table(FAMILIES)?;
                let found = living(&families, &transaction.open_table(ENDED_CLIENTS)?, &id, now)?;
                Ok(found.map(|record| Standing { newest: record.newest == token, family: record.family(&id) }))
            })
        })
        .await
    }

    pub(super) async fn revoke(&self, what: &Revocation, _now: u64) -> Result<(), StoreError> {
        let what = what.clone();
        self.write(move |transaction| {
            let done = match what {
                Revocation::Token { jti, until } => {
                    raise(&mut transaction.open_table(ENDED_TOKENS)?, &jti, until)?;
                    Revocation::Token { jti, until }
                }
                Revocation::Family { id, until } => {
                    let row = transaction.open_table(FAMILIES)?.remove(id.as_str())?.map(|row| row.value().6);
                    // It may have been refreshed since whoever revokes looked at it.
                    let until = until.max(row.unwrap_or(0));
                    raise(&mut transaction.open_table(ENDED_FAMILIES)?, &id, until)?;
                    Revocation::Family { id, until }
                }
                Revocation::Client { id, issued_before, until } => {
                    let last = transaction.open_table(LAST)?.get(())?.map_or(0, |last| last.value());
                    let mut clients = transaction.open_table(ENDED_CLIENTS)?;
                    let before = clients.get(id.as_str())?.map_or((0, 0), |row| row.value());
                    let (issued_before, until) = (issued_before.max(before.0), until.max(last).max(before.1));
                    clients.insert(id.as_str(), (issued_before, until))?;
                    Revocation::Client { id, issued_before, until }
                }
            };
            Ok(((), Some(done)))
        })
        .await
    }

    pub(super) async fn sweep(&self, now: u64) -> Result<(), StoreError> {
        let forgotten = move |until: u64| until.saturating_add(KEPT) <= now;
        self.sweep_table(TOKENS, |key| *key, |key| key, move |(expires, _)| expires <= now).await?;
        self.sweep_table(FAMILIES, str::to_owned, String::as_str, move |row| row.5 <= now).await?;
        self.sweep_table(ENDED_TOKENS, str::to_owned, String::as_str, forgotten).await?;
        self.sweep_table(ENDED_FAMILIES, str::to_owned, String::as_str, forgotten).await?;
        self.sweep_table(ENDED_CLIENTS, str::to_owned, String::as_str, move |(_, until)| forgotten(until)).await
    }

    /// Goes through a table without keeping writers out, and takes a turn to remove what it found.
    async fn sweep_table<K: Key + Send + 'static, V: Value + Send + 'static, O: Clone + Send + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
        own: impl for<'k> Fn(K::SelfType<'k>) -> O + Copy + Send + 'static,
        lend: impl for<'k> Fn(&'k O) -> K::SelfType<'k> + Copy + Send + 'static,
        gone: impl for<'v> Fn(V::SelfType<'v>) -> bool + Copy + Send + 'static,
    ) -> Result<(), StoreError> {
        let mut after: Option<O> = None;
        loop {
            let (handle, from) = (Arc::clone(&self.handle), after);
            let look = move |database: &Database| {
                let transaction = database.begin_read()?;
                let rows = transaction.open_table(table)?;
                let begin = from.as_ref().map_or(Bound::Unbounded, |from| Bound::Excluded(lend(from)));
                let (mut found, mut last, mut seen) = (Vec::new(), None, 0);
                for row in rows.range::<K::SelfType<'_>>((begin, Bound::Unbounded))?.take(SWEPT_AT_ONCE) {
                    let (key, value) = row?;
                    let key = own(key.value());
                    seen += 1;
                    if gone(value.value()) {
                        found.push(key.clone());
                    }
                    last = Some(key);
                }
                Ok((found, last.filter(|_| seen == SWEPT_AT_ONCE)))
            };
            let (found, last) = blocking(move || handle.with(look)).await?;
            if !found.is_empty() {
                self.write(move |transaction| {
                    let mut rows = transaction.open_table(table)?;
                    for key in &found {
                        // It may have been lengthened since.
                        let still = rows.get(lend(key))?.is_some_and(|value| gone(value.value()));
                        if still {
                            rows.remove(lend(key))?;
                        }
                    }
                    Ok(((), None))
                })
                .await?;
            }
            let Some(last) = last else { return Ok(()) };
            after = Some(last);
        }
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Stopped))
}

/// The file, for the owner alone.
fn create(path: &Path) -> Result<Database, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::Open { path, error }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        // Its name must outlive a crash as well as its content.
        Ok(_) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path)(error)),
    }
    // A file that was altered from outside is refused here; unchecked, it could bring the library to panic later.
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
            failed(path)(error)
        }
        error => StoreError::Content { path: path.to_owned(), error: Box::new(error.into()) },
    })
}

/// All tables are there from the first moment, so that nobody has to ask.
fn tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(TOKENS)?;
    transaction.open_table(FAMILIES)?;
    transaction.open_table(ENDED_TOKENS)?;
    transaction.open_table(ENDED_FAMILIES)?;
    transaction.open_table(ENDED_CLIENTS)?;
    transaction.open_table(LAST)?;
    Ok(transaction.commit()?)
}

fn revoked(database: &Database) -> Result<Vec<Revocation>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut all = Vec::new();
    for row in transaction.open_table(ENDED_TOKENS)?.iter()? {
        let (jti, until) = row?;
        all.push(Revocation::Token { jti: jti.value().to_owned(), until: until.value() });
    }
    for row in transaction.open_table(ENDED_FAMILIES)?.iter()? {
        let (id, until) = row?;
        all.push(Revocation::Family { id: id.value().to_owned(), until: until.value() });
    }
    for row in transaction.open_table(ENDED_CLIENTS)?.iter()? {
        let (id, row) = row?;
        let (issued_before, until) = row.value();
        all.push(Revocation::Client { id: id.value().to_owned(), issued_before, until });
    }
    Ok(all)
}

fn family_id(
    tokens: &impl ReadableTable<&'static [u8; 32], (u64, &'static str)>,
    token: &[u8; 32],
    now: u64,
) -> Result<Option<String>, redb::Error> {
    Ok(tokens.get(token)?.and_then(|row| {
        let (expires, id) = row.value();
        (now < expires).then(|| id.to_owned())
    }))
}

/// A family that has neither expired nor begun before its client was ended.
fn living(
    families: &impl ReadableTable<&'static str, Row<'static>>,
    clients: &impl ReadableTable<&'static str, (u64, u64)>,
    id: &str,
    now: u64,
) -> Result<Option<Record>, redb::Error> {
    let Some(record) = families.get(id)?.map(|row| Record::of(row.value())) else { return Ok(None) };
    let ended = clients.get(record.client.as_str())?.is_some_and(|row| record.begun < row.value().0);
    Ok(Some(record).filter(|record| !ended && now < record.ends.refresh))
}

fn remember(transaction: &WriteTransaction, token: &[u8; 32], expires: u64, id: &str) -> Result<(), redb::Error> {
    transaction.open_table(TOKENS)?.insert(token, (expires, id))?;
    let mut last = transaction.open_table(LAST)?;
    let before = last.get(())?.map_or(0, |last| last.value());
    if before < expires {
        last.insert((), expires)?;
    }
    Ok(())
}

fn raise(table: &mut redb::Table<'_, &'static str, u64>, name: &str, until: u64) -> Result<(), redb::Error> {
    let before = table.get(name)?.map_or(0, |row| row.value());
    table.insert(name, before.max(until))?;
    Ok(())
}

//! clients.yaml on the disk: one command at a time, and whoever reads sees the file of before or the one of after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::SourceFile;

/// What a new file may be read by: its owner.
const MODE: u32 = 0o600;

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("`{}` does not exist; `client add` makes it", .0.display())]
    Missing(PathBuf),
    #[error("the clients in `{}` cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("the clients in `{}` are no text in utf-8", .0.display())]
    NotText(PathBuf),
    #[error("the folder `{}` cannot be locked: {error}", path.display())]
    Lock { path: PathBuf, error: io::Error },
    #[error(
        "`{}` lies where nothing can be written ({error}): change it where it comes from, such as a Secret of Kubernetes, \
         and a running sidecar takes it up by itself", path.display()
    )]
    ReadOnly { path: PathBuf, error: io::Error },
    #[error("the clients cannot be written to `{}`: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// The file, and nobody else's to change until this is dropped.
pub(super) struct ClientsFile {
    /// As the configuration names it.
    named: PathBuf,
    /// What it leads to, through links.
    target: PathBuf,
    folder: PathBuf,
    lock: File,
}

/// The text; `None`: there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Arc<SourceFile>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| FileError::NotText(path.to_owned()))?;
            Ok(Some(Arc::new(SourceFile { name: path.display().to_string(), text })))
        }
        // A link that leads to nothing is somebody's mistake.
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => Ok(None),
        Err(error) => Err(FileError::Read { path: path.to_owned(), error }),
    }
}

impl ClientsFile {
    /// Waits until no other command changes the file. The lock is the folder's: the file itself is replaced.
    pub(super) fn lock(path: &Path) -> Result<Self, FileError> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let locked = File::open(folder).and_then(|lock| lock.lock().map(|()| lock));
        let lock = locked.map_err(|error| FileError::Lock { path: folder.to_owned(), error })?;
        Ok(Self { named: path.to_owned(), folder: folder.to_owned(), target, lock })
    }

    /// The text as it is now; `None`: there is no file yet.
    pub(super) fn read(&self) -> Result<Option<Arc<SourceFile>>, FileError> {
        read(&self.named)
    }

    /// Puts another file in its place, which has the same owner and may be read by the same people.
    pub(super) fn replace(&self, text: &str) -> Result<(), FileError> {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        // One that an end in the middle has left belongs to nobody: the lock is ours.
        let beside = self.folder.join(format!(".{name}.new"));
        let written = self.write(&beside, text).and_then(|()| fs::rename(&beside, &self.target));
        written.and_then(|()| self.lock.sync_all()).map_err(|error| {
            fs::remove_file(&beside).ok();
            let path = self.named.clone();
            match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => FileError::ReadOnly { path, error },
                _ => FileError::Write { path, error },
            }
        })
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        if let Ok(old) = fs::metadata(&self.target) {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

//! A Unix socket's file: made with its mode and owner, removed with its listener.
//!
//! INVARIANT: nobody connects before mode and owner are what they shall be. The kernel
//! refuses every connection until `listen`, which comes last; a umask would be the whole
//! process's, and a file that is renamed into place could take that of a live process.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _, lchown},
        net::{UnixListener as StdListener, UnixStream as StdUnix},
    },
    path::{Path, PathBuf},
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

use crate::config::UnixSocket;

/// A listening Unix socket.
pub(super) struct SocketFile {
    // Goes first: whoever finds a file that nobody listens on puts its own there, and that one
    // would be removed.
    _file: Remove,
    listener: UnixListener,
}

/// Removes the file when its listener goes.
struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        // It may be gone already: then there is nothing to do.
        let _ = fs::remove_file(&self.0);
    }
}

/// It cannot be made.
pub(super) enum Error {
    /// Not there.
    Bind(io::Error),
    /// Not with that owner.
    Owner(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Bind(error)
    }
}

impl SocketFile {
    /// Listens there. The file of a process that is gone is replaced. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`Error`]
    pub(super) fn bind(socket: &UnixSocket, backlog: i32) -> Result<Self, Error> {
        let UnixSocket { path, mode, uid, gid } = socket;
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let bound = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let bound = bound.map_err(io::Error::from)?;
        let address = SocketAddrUnix::new(path.as_path()).map_err(io::Error::from)?;
        rustix::net::bind(&bound, &address).map_err(io::Error::from)?;
        let file = Remove(path.clone());
        fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
        if uid.is_some() || gid.is_some() {
            lchown(path, *uid, *gid).map_err(Error::Owner)?;
        }
        rustix::net::listen(&bound, backlog).map_err(io::Error::from)?;
        let listener = UnixListener::from_std(StdListener::from(bound))?;
        Ok(Self { _file: file, listener })
    }

    /// What accepts.
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

/// Removes the socket file of a process that is gone; nothing else. What is no
/// socket is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => return Ok(()),
    }
    match StdUnix::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

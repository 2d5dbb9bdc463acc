//! Taking connections, a limited number at a time.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::{Connection, Limits};

/// Connections at the same time: a few scrapers and probes, each with a buffer of at most some hundred KiB. Others wait in the system's queue.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// Who may connect to a socket file: the owner and the group.
const SOCKET_MODE: u32 = 0o660;

/// A listener whose connections have limits.
#[derive(Debug)]
pub(crate) struct Limited<L> {
    listener: L,
    room: Arc<Semaphore>,
}

impl<L> Limited<L> {
    pub(crate) fn new(listener: L) -> Self {
        Self {
            listener,
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

async fn permit(room: Arc<Semaphore>) -> OwnedSemaphorePermit {
    match room.acquire_owned().await {
        Ok(permit) => permit,
        // The semaphore is never closed; were it so, nobody more would be let in.
        Err(_) => std::future::pending().await,
    }
}

impl<L: Listener> Listener for Limited<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = permit(Arc::clone(&self.room)).await;
        let (stream, address) = self.listener.accept().await;
        (Connection::new(stream, Limits::USUAL, permit), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Listens on a socket file. One that a killed server left is taken away; one that somebody answers at is not.
pub(crate) async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is there",
            ));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

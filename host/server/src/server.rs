//! The server itself.

use std::fs;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, UnixListener};
use usher_engine::run::Stop;

use crate::address::ListenAddress;
use crate::listener::{Limited, bind_unix};
use crate::routes;
use crate::site::Site;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

impl BindError {
    /// Somebody else listens there.
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// A server that listens already and answers once it runs.
#[derive(Debug)]
pub struct Server {
    address: ListenAddress,
    bound: Bound,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken, or not this machine's, or may not be used.
    pub async fn bind(address: ListenAddress) -> Result<Self, BindError> {
        let bound = match &address {
            ListenAddress::Tcp(wanted) => TcpListener::bind(wanted).await.map(Bound::Tcp),
            ListenAddress::Unix(path) => bind_unix(path).await.map(Bound::Unix),
        };
        match bound {
            Ok(bound) => Ok(Self { address, bound }),
            Err(source) => Err(BindError { address, source }),
        }
    }

    /// Where it listens; with the port that the system chose when it was asked for port 0.
    pub fn address(&self) -> ListenAddress {
        match &self.bound {
            Bound::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| self.address.clone(), ListenAddress::Tcp),
            Bound::Unix(_) => self.address.clone(),
        }
    }

    /// Answers until it is asked to stop; requests under way are answered first.
    ///
    /// # Errors
    /// The system takes the socket away.
    pub async fn run(self, site: Arc<Site>, stop: Stop) -> io::Result<()> {
        let router = routes::router(site);
        match self.bound {
            Bound::Tcp(listener) => answer(listener, router, stop).await,
            Bound::Unix(listener) => {
                let ended = answer(listener, router, stop).await;
                if let ListenAddress::Unix(path) = &self.address {
                    // One that stays is taken away by the next start.
                    let _ = fs::remove_file(path);
                }
                ended
            }
        }
    }
}

async fn answer<L>(listener: L, router: Router, stop: Stop) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let stopped = async move { stop.requested().await };
    axum::serve(Limited::new(listener), router)
        .with_graceful_shutdown(stopped)
        .await
}

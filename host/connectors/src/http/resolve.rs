//! Names to addresses: asked once for each connection, and the connection goes to what was answered.

use std::net::{IpAddr, SocketAddr};
#[cfg(test)]
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// Where names are looked up.
#[derive(Clone, Debug)]
pub(super) enum Resolver {
    /// As the operating system is set up.
    System,
    /// One answer after the other, whatever the name; the last one stays.
    #[cfg(test)]
    Scripted(Arc<Mutex<VecDeque<Vec<IpAddr>>>>),
}

impl Resolver {
    /// All addresses of a host; none when the name is not known.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return vec![SocketAddr::new(address, port)];
        }
        match self {
            Self::System => match tokio::net::lookup_host((host, port)).await {
                Ok(found) => found.collect(),
                Err(_) => Vec::new(),
            },
            #[cfg(test)]
            Self::Scripted(answers) => {
                let mut answers = crate::journal::lock(answers);
                let answer = match answers.len() {
                    0 | 1 => answers.front().cloned().unwrap_or_default(),
                    _ => answers.pop_front().unwrap_or_default(),
                };
                answer
                    .into_iter()
                    .map(|address| SocketAddr::new(address, port))
                    .collect()
            }
        }
    }
}

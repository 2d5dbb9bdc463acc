//! Tells systemd (or whatever speaks its protocol) that the server is ready, alive, stopping. Without `NOTIFY_SOCKET` nobody is told.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// The variable that names the socket: a path, or a name in the abstract namespace after `@`.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Within how many microseconds a sign of life is expected.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// From which process; another one's is not ours to keep up.
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// Who started this server and wants to know how it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// Half the time after which silence counts as death.
    beat: Option<Duration>,
}

impl Supervisor {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        let var = |name| std::env::var(name).ok();
        let own = var(WATCHDOG_PROCESS).is_none_or(|process| process == std::process::id().to_string());
        Self::new(var(SOCKET).as_deref(), var(WATCHDOG).filter(|_| own).as_deref())
    }

    fn new(socket: Option<&str>, watchdog_us: Option<&str>) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        Self {
            socket: address.and_then(|address| Some(Arc::new((UnixDatagram::unbound().ok()?, address)))),
            beat: watchdog_us
                .and_then(|text| text.parse().ok())
                .filter(|us| *us > 1)
                .map(|us: u64| Duration::from_micros(us / 2)),
        }
    }

    /// The server does its work.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It was asked to stop.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// Signs of life for as long as `is_alive` says so, when they are expected; for ever.
    pub(crate) async fn signs_of_life(&self, is_alive: impl Fn() -> bool) {
        let Some(beat) = self.beat else {
            return std::future::pending().await;
        };
        loop {
            if is_alive() {
                self.tell("WATCHDOG=1");
            }
            tokio::time::sleep(beat).await;
        }
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.0.send_to_addr(message.as_bytes(), &socket.1)
        {
            tracing::debug!(%error, "the supervisor could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn what_systemd_waits_for_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::new(path.to_str(), None);
        supervisor.ready("serving");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
        supervisor.stopping();
        assert!(heard(&socket).starts_with("STOPPING=1\n"));
    }

    #[tokio::test]
    async fn signs_of_life_end_when_there_is_none() {
        let name = format!("usher-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::new(Some(&format!("@{name}")), Some("2000"));
        let asked = std::sync::atomic::AtomicU32::new(0);
        let life = supervisor.signs_of_life(|| asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3);
        let ended = tokio::time::timeout(Duration::from_millis(100), life).await;
        assert!(ended.is_err());
        for _ in 0..3 {
            assert_eq!(heard(&socket), "WATCHDOG=1");
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 16]).is_err());
    }

    #[test]
    fn without_a_supervisor_nobody_is_told() {
        Supervisor::new(None, None).ready("serving");
        assert!(Supervisor::new(None, Some("soon")).beat.is_none());
    }
}

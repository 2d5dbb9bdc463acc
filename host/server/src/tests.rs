//! The server as a scraper and a probe meet it, over a store in a folder.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use usher_engine::ports::Clock;
use usher_engine::run::{Stop, Stopper};
use usher_engine::{Ending, Observer as _, Outcomes, Part, Seen};
use usher_lifecycle::cause::Actor;
use usher_store::{Context, Freezing as _, OperatorKey, Randomness, SqlStore, sqlite};

use crate::{About, Board, ListenAddress, Server, Site};

struct Fixed;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn sleep_until<'a: 'b, 'b>(&'a self, _at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>> {
        Box::pin(std::future::ready(()))
    }
}

impl Randomness for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }
}

/// A running server.
struct World {
    address: ListenAddress,
    board: Arc<Board>,
    store: Arc<SqlStore>,
    /// Ends the loop, were there one.
    loop_stopper: Stopper,
    stopper: Stopper,
    running: JoinHandle<std::io::Result<()>>,
    folder: tempfile::TempDir,
}

fn context() -> Context {
    Context {
        actor: Actor::Usher,
        at: NOW,
    }
}

impl World {
    async fn new() -> Self {
        Self::listening("127.0.0.1:0".parse().unwrap()).await
    }

    async fn listening(address: ListenAddress) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = OperatorKey::from_bytes([7; 32]);
        let store = sqlite::create(&folder.path().join("data"), &key, Arc::new(Fixed), &context())
            .await
            .unwrap();
        let store = Arc::new(store);
        let board = Arc::new(Board::default());
        let about = About {
            version: "0.1.0",
            schema_version: 4,
        };
        let (loop_stopper, loop_stop) = Stop::pair();
        let (stopper, stop) = Stop::pair();
        let site = Site::new(store.clone(), Arc::new(Fixed), board.clone(), loop_stop, about);
        let server = Server::bind(address).await.unwrap();
        Self {
            address: server.address(),
            board,
            store,
            loop_stopper,
            stopper,
            running: tokio::spawn(server.run(Arc::new(site), stop)),
            folder,
        }
    }

    async fn ask(&self, request: &str) -> String {
        match &self.address {
            ListenAddress::Tcp(address) => {
                exchange(TcpStream::connect(address).await.unwrap(), request).await
            }
            ListenAddress::Unix(path) => exchange(UnixStream::connect(path).await.unwrap(), request).await,
        }
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: usher\r\nConnection: close\r\n\r\n"
        ))
        .await
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_server_that_is_well_says_so() {
    let world = World::new().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = world.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
    }
    let health = world.get("/healthz").await;
    for expected in [
        r#""status":"ok""#,
        r#""database-reachable":true"#,
        r#""schema-version":4"#,
        r#""part":"planner","alive":true"#,
        r#""since":"1970-01-01T00:00:00Z""#,
    ] {
        assert!(health.contains(expected), "{expected}: {health}");
    }
}

#[tokio::test]
async fn a_frozen_store_is_told_and_is_no_failure() {
    let world = World::new().await;
    world
        .store
        .freeze("restored from a backup", &context())
        .await
        .unwrap();
    let health = world.get("/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(
        health.contains(r#""status":"frozen""#) && health.contains("restored from a backup"),
        "{health}"
    );
    assert!(world.get("/metrics").await.contains("\nusher_frozen 1\n"));
}

#[tokio::test]
async fn while_the_loop_finishes_nobody_sends_it_work() {
    let world = World::new().await;
    world.loop_stopper.stop();
    assert!(world.get("/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(world.get("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(world.get("/healthz").await.contains(r#""status":"stopping""#));
}

#[tokio::test]
async fn metrics_count_what_the_loop_told() {
    let world = World::new().await;
    world.board.saw(Seen::Outcomes(vec![Outcomes {
        target: "app".parse().unwrap(),
        verb: "create",
        ending: Ending::Done,
        operations: 7,
    }]));
    world.board.saw(Seen::Committed {
        outcomes: 7,
        claimed: 9,
        took: Duration::from_millis(3),
    });
    world.board.saw(Seen::StoreFailed {
        part: Part::Runner,
        kind: "unavailable",
        message: "gone".into(),
    });
    let answer = world.get("/metrics").await;
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{answer}"
    );
    let text = answer.split_once("\r\n\r\n").unwrap().1;
    for expected in [
        "usher_operations_total{target=\"app\",verb=\"create\",outcome=\"done\"} 7",
        "usher_claims_total 9",
        "usher_commit_seconds_count 1",
        "usher_commit_outcomes_bucket{le=\"8.0\"} 1",
        "usher_store_failures_total{part=\"runner\",kind=\"unavailable\"} 1",
        "usher_build_info{version=\"0.1.0\",schema=\"4\"} 1",
        "usher_replicas 1",
        "usher_store_up 1",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn what_is_not_there_is_said_and_nothing_is_changed_here() {
    let world = World::new().await;
    assert!(world.get("/").await.starts_with("HTTP/1.1 404"));
    let post = "POST /healthz HTTP/1.1\r\nHost: usher\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(world.ask(post).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_request_with_endless_headers_is_cut_off() {
    let world = World::new().await;
    let ListenAddress::Tcp(address) = &world.address else {
        unreachable!("it listens on TCP");
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: usher\r\nX: ")
        .await;
    // The server closes before it has taken all; how that shows here depends on who is faster.
    let _ = stream.write_all(&vec![b'x'; 200 * 1024]).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert!(world.get("/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_socket_file_is_private_taken_over_when_stale_and_removed_at_the_end() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usher.sock");
    let address = ListenAddress::Unix(path.clone());
    // What a killed server leaves.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let world = World::listening(address.clone()).await;
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    assert!(world.get("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(Server::bind(address).await.unwrap_err().is_in_use());
    world.stopper.stop();
    world.running.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let world = World::new().await;
    let file = world.folder.path().join("letter");
    std::fs::write(&file, "dear").unwrap();
    let error = Server::bind(ListenAddress::Unix(file.clone())).await.unwrap_err();
    assert!(
        error.to_string().contains("something else than a socket"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "dear");
}

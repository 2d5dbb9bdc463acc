//! Loading guests, and a small HTTP server that keeps a journal.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use usher_connectors::{CodeFolder, CodeKey, Compiler, FixedSecrets, Generation, LoadError, Sandbox};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::WriteContext;
use usher_lifecycle::targets::{
    ApplyMode, ConnectorReference, Grants, HttpAuth, HttpGrant, HttpScheme, SecretReference, SqlDatabase,
    SqlGrant, Target,
};

pub(crate) const SECRET: &str = "s3cr3t-token";

/// With a cache that all tests share: compiling the guests anew for each would be most of the time they take.
pub(crate) fn sandbox() -> Sandbox {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native");
    sandbox_with(compiler(), &cache)
}

pub(crate) fn sandbox_with(compiler: Compiler, cache: &Path) -> Sandbox {
    let kept = CodeFolder {
        folder: cache.to_owned(),
        key: CodeKey::new(&[7; 32]),
    };
    Sandbox::new(compiler, Some(kept)).unwrap()
}

/// This crate's own program that compiles.
pub(crate) fn compiler() -> Compiler {
    Compiler::program(env!("CARGO_BIN_EXE_usher-compile-component").into())
}

/// A target that grants one HTTP endpoint and one SQL endpoint, neither of which leads anywhere.
pub(crate) fn target(settings: Value) -> Target {
    let http = HttpGrant {
        scheme: HttpScheme::Https,
        host: "nowhere.invalid".to_owned(),
        port: None,
        methods: vec![],
        path_prefix: None,
        private_addresses: false,
    };
    let sql = SqlGrant {
        endpoint: "app".to_owned(),
        database: SqlDatabase::Sqlite("/nonexistent/app.db".to_owned()),
    };
    Target {
        apply: ApplyMode::Auto,
        settings,
        grants: Grants {
            http: vec![http],
            sql: vec![sql],
        },
        ..Target::new("app".parse().unwrap(), named("hostile"))
    }
}

fn named(name: &str) -> ConnectorReference {
    ConnectorReference::Name {
        name: name.parse().unwrap(),
        version: None,
    }
}

pub(crate) fn noop_target() -> Target {
    Target {
        connector: named("noop"),
        grants: Grants::default(),
        ..target(json!({}))
    }
}

pub(crate) fn granting_http(mut target: Target, port: u16) -> Target {
    target.grants.http[0] = HttpGrant {
        scheme: HttpScheme::Http,
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        private_addresses: true,
        ..target.grants.http[0].clone()
    };
    target
}

pub(crate) fn granting_sqlite(mut target: Target, path: &Path) -> Target {
    target.grants.sql[0].database = SqlDatabase::Sqlite(path.to_str().unwrap().to_owned());
    target
}

pub(crate) fn with_bearer(mut target: Target) -> Target {
    target.http_auth = Some(HttpAuth::Bearer(SecretReference::Env("TOKEN".to_owned())));
    target
}

pub(crate) async fn try_load(package: &str, target: &Target) -> Result<Arc<Generation>, LoadError> {
    let secrets = FixedSecrets::none().with("TOKEN", SECRET);
    sandbox()
        .load(usher_tests::component(package), target, Arc::new(secrets))
        .await
}

/// Loads bytes that are no package of this workspace.
pub(crate) async fn try_load_bytes(bytes: Vec<u8>, target: &Target) -> Result<Arc<Generation>, LoadError> {
    sandbox()
        .load(bytes, target, Arc::new(FixedSecrets::none()))
        .await
}

pub(crate) async fn hostile(target: &Target) -> Arc<Generation> {
    try_load("usher-guest-hostile", target).await.unwrap()
}

pub(crate) async fn noop() -> Arc<Generation> {
    try_load("usher-guest-noop", &noop_target()).await.unwrap()
}

pub(crate) fn write() -> WriteContext {
    WriteContext {
        intent_id: "op_1".to_owned(),
        attempt: 1,
        reason: "hr: joiner".to_owned(),
    }
}

pub(crate) fn login(login: &str) -> Attributes {
    Map::from_iter([("login".to_owned(), json!(login))])
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body_bytes: usize,
}

/// What the server does with every request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Serve {
    /// Answers 200 with this many bytes.
    Bytes(usize),
    /// Answers 200 with this text.
    Text(&'static str),
    /// Answers 302 to itself.
    Redirect,
    /// Answers 302 to elsewhere.
    RedirectTo(&'static str),
    /// Takes the request and never answers.
    Silence,
    /// Takes the request and closes.
    Close,
    /// Answers with what it was sent.
    Echo,
}

/// A server on loopback.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    open: Arc<Mutex<usize>>,
}

impl Server {
    pub(crate) async fn start(serve: Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let open = Arc::new(Mutex::new(0));
        let (journal, count, opened) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                *opened.lock().unwrap() += 1;
                let (journal, opened) = (Arc::clone(&journal), Arc::clone(&opened));
                tokio::spawn(async move {
                    converse(stream, serve, journal).await;
                    *opened.lock().unwrap() -= 1;
                });
            }
        });
        Self {
            port,
            seen,
            connections,
            open,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        *self.open.lock().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn converse(mut stream: TcpStream, serve: Serve, journal: Arc<Mutex<Vec<Seen>>>) {
    let mut held = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut held).await {
        journal.lock().unwrap().push(seen.clone());
        let answer = match serve {
            Serve::Bytes(count) => ok(&"y".repeat(count)),
            Serve::Echo => ok(&seen.head),
            Serve::Text(text) => ok(text),
            Serve::Redirect => {
                "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            Serve::RedirectTo(place) => {
                format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n")
            }
            Serve::Close => return,
            Serve::Silence => {
                // Until the other side gives up.
                while read_more(&mut stream, &mut held).await.is_some() {}
                return;
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn read_request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<Seen> {
    let head_end = loop {
        if let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, held).await?;
    };
    let head = String::from_utf8_lossy(&held[..head_end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    while held.len() < head_end + length {
        read_more(stream, held).await?;
    }
    held.drain(..head_end + length);
    Some(Seen {
        head,
        body_bytes: length,
    })
}

async fn read_more(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    let count = stream.read(&mut buffer).await.ok()?;
    held.extend_from_slice(&buffer[..count]);
    (count > 0).then_some(())
}

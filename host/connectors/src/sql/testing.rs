//! What tests with real database servers share: an endpoint as a call sees it, and a proxy that cuts the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use usher_lifecycle::targets::{
    SecretReference, SqlAddress, SqlDatabase, SqlGrant, SqlServer, SqlTls, parse,
};

use super::{RowSet, SqlEndpoints, SqlError, SqlErrorKind, SqlValue, Statement};
use crate::journal::Journal;
use crate::secrets::{FixedSecrets, Secrets};

pub(super) const PASSWORD: &str = "p4ss-w0rd-of-a-test";

/// A server on loopback without TLS.
pub(super) fn on_loopback(port: u16, database: &str, user: &str) -> SqlServer {
    SqlServer {
        address: SqlAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
            tls: SqlTls::Off,
            private_addresses: true,
        },
        database: database.to_owned(),
        user: user.to_owned(),
        password: Some(SecretReference::Env("PASSWORD".to_owned())),
    }
}

/// The same, whether private addresses are granted.
pub(super) fn private(server: &mut SqlServer, allowed: bool) {
    if let SqlAddress::Tcp {
        private_addresses, ..
    } = &mut server.address
    {
        *private_addresses = allowed;
    }
}

/// The same with another TLS.
pub(super) fn tls_of(server: &mut SqlServer, wanted: SqlTls) {
    if let SqlAddress::Tcp { tls, .. } = &mut server.address {
        *tls = wanted;
    }
}

/// The same under another name, and with another TLS.
pub(super) fn named(mut server: SqlServer, name: &str, wanted: SqlTls) -> SqlServer {
    if let SqlAddress::Tcp { host, tls, .. } = &mut server.address {
        (*host, *tls) = (name.to_owned(), wanted);
    }
    server
}

/// A target with one endpoint, `app`.
pub(super) struct Fixture {
    endpoints: Arc<SqlEndpoints>,
    pub(super) journal: Arc<Journal>,
}

impl Fixture {
    pub(super) fn new(database: SqlDatabase) -> Self {
        Self::with_password(database, PASSWORD)
    }

    pub(super) fn with_password(database: SqlDatabase, password: &str) -> Self {
        let grant = SqlGrant {
            endpoint: "app".to_owned(),
            database,
        };
        let mut targets = parse("targets.toml", "[targets.app]\nconnector = \"sql\"\n").unwrap();
        let (_, mut target) = targets.targets.pop_first().unwrap();
        target.grants.sql = vec![grant];
        let secrets: Arc<dyn Secrets> = Arc::new(FixedSecrets::none().with("PASSWORD", password));
        Self {
            endpoints: Arc::new(SqlEndpoints::new(&target, &secrets)),
            journal: journal(Duration::from_secs(60)),
        }
    }

    pub(super) async fn query_with(&self, sql: &str, values: Vec<SqlValue>) -> Result<RowSet, SqlError> {
        self.endpoints
            .query("app", statement(sql, values), &self.journal)
            .await
    }

    pub(super) async fn query(&self, sql: &str) -> Result<RowSet, SqlError> {
        self.query_with(sql, vec![]).await
    }

    /// The only value of the only row.
    pub(super) async fn value(&self, sql: &str) -> SqlValue {
        let mut found = self
            .query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(found.rows.len(), 1, "{sql}");
        found.rows[0].remove(0)
    }

    pub(super) async fn execute_with(&self, sql: &str, values: Vec<SqlValue>) -> Result<Vec<u64>, SqlError> {
        let statements = vec![statement(sql, values)];
        self.endpoints.execute("app", statements, &self.journal).await
    }

    pub(super) async fn execute(&self, sql: &[&str]) -> Result<Vec<u64>, SqlError> {
        let statements = sql.iter().map(|sql| statement(sql, vec![])).collect();
        self.endpoints.execute("app", statements, &self.journal).await
    }

    /// A query of a call that has this much time.
    pub(super) async fn query_within(&self, time: Duration, sql: &str) -> Result<RowSet, SqlError> {
        self.endpoints
            .query("app", statement(sql, vec![]), &journal(time))
            .await
    }

    /// Statements of a call that has this much time.
    pub(super) async fn execute_within(&self, time: Duration, sql: &[&str]) -> Result<Vec<u64>, SqlError> {
        let statements = sql.iter().map(|sql| statement(sql, vec![])).collect();
        self.endpoints.execute("app", statements, &journal(time)).await
    }

    /// A query that runs by itself.
    pub(super) fn begin_query(&self, sql: &str) -> tokio::task::JoinHandle<Result<RowSet, SqlError>> {
        let (endpoints, journal) = (Arc::clone(&self.endpoints), Arc::clone(&self.journal));
        let sql = statement(sql, vec![]);
        tokio::spawn(async move { endpoints.query("app", sql, &journal).await })
    }

    /// Begins a query and goes away in the middle of it.
    pub(super) async fn abandon(&self, sql: &str, running: impl Fn() -> bool) {
        let call = self.begin_query(sql);
        eventually("the statement runs", running).await;
        call.abort();
    }

    /// What the operator is told.
    pub(super) fn told(&self) -> String {
        self.journal
            .refusal()
            .map(|refusal| refusal.what)
            .unwrap_or_default()
    }

    /// Each of these fails in both functions, and what was there is there still.
    pub(super) async fn refuses(&self, statements: &[&str], unchanged: &str) {
        let before = self.value(unchanged).await;
        for sql in statements {
            let (read, written) = (self.query(sql).await, self.execute(&[sql]).await);
            assert!(read.is_err() && written.is_err(), "{sql}: {read:?} {written:?}");
            for error in [read.unwrap_err(), written.unwrap_err()] {
                assert!(!error.effect_unknown, "{sql}: {error:?}");
                assert!(
                    !matches!(error.kind, SqlErrorKind::Unavailable | SqlErrorKind::Other(_)),
                    "{sql}: {error:?}"
                );
            }
            assert_eq!(self.value(unchanged).await, before, "{sql}");
        }
    }
}

pub(super) fn statement(sql: &str, parameters: Vec<SqlValue>) -> Statement {
    Statement {
        sql: sql.to_owned(),
        parameters,
    }
}

fn journal(time: Duration) -> Arc<Journal> {
    Arc::new(Journal::new(Instant::now() + time, 10_000, 1_024))
}

pub(super) fn text(value: &str) -> SqlValue {
    SqlValue::Text(value.to_owned())
}

/// Waits for what must come.
pub(super) async fn eventually(what: &str, come: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !come() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A way to a server on which the answer to COMMIT is lost: the server has done it, and nobody hears of it.
pub(super) async fn losing_the_answer_to_commit(server_port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
            tokio::spawn(relay(client, server));
        }
    });
    port
}

/// A way to a server that can be disturbed, and on which round trips are counted.
pub(super) struct Way {
    pub(super) port: u16,
    told: watch::Sender<Told>,
    round_trips: Arc<AtomicUsize>,
}

/// Connections are numbered; those below a number are disturbed.
#[derive(Clone, Copy, Default)]
struct Told {
    come: usize,
    silent_below: usize,
    broken_below: usize,
}

impl Way {
    pub(super) async fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, hears) = watch::channel(Told::default());
        let round_trips = Arc::new(AtomicUsize::new(0));
        let (counts, counted) = (told.clone(), Arc::clone(&round_trips));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = hears.borrow().come;
                counts.send_modify(|told| told.come += 1);
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                tokio::spawn(disturbed(
                    client,
                    server,
                    hears.clone(),
                    number,
                    Arc::clone(&counted),
                ));
            }
        });
        Self {
            port,
            told,
            round_trips,
        }
    }

    /// Nothing passes any more on the connections there are; they stay open.
    pub(super) fn silence(&self) {
        self.told.send_modify(|told| told.silent_below = told.come);
    }

    /// The connections there are break, and so do the next ones.
    pub(super) fn break_these_and_the_next(&self, next: usize) {
        self.told.send_modify(|told| told.broken_below = told.come + next);
    }

    pub(super) fn round_trips(&self) -> usize {
        self.round_trips.load(Ordering::SeqCst)
    }
}

async fn disturbed(
    mut client: TcpStream,
    mut server: TcpStream,
    mut hears: watch::Receiver<Told>,
    number: usize,
    round_trips: Arc<AtomicUsize>,
) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut waits_for_answer = false;
    loop {
        let told = *hears.borrow_and_update();
        if number < told.broken_below {
            return;
        }
        if number < told.silent_below {
            if hears.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            changed = hears.changed() => if changed.is_err() { return },
            read = client.read(&mut asked) => match read {
                Ok(count) if count > 0 => {
                    waits_for_answer = true;
                    if server.write_all(&asked[..count]).await.is_err() { return }
                }
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(count) if count > 0 => {
                    if std::mem::take(&mut waits_for_answer) {
                        round_trips.fetch_add(1, Ordering::SeqCst);
                    }
                    if client.write_all(&answered[..count]).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(count) if count > 0 => {
                    let bytes = &asked[..count];
                    committing = bytes.windows(6).any(|word| word == b"COMMIT");
                    if server.write_all(bytes).await.is_err() { return }
                }
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(count) if count > 0 && !committing => {
                    if client.write_all(&answered[..count]).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}

//! A granted database server, as guests use it: connections that are kept for a while, and calls on them that end in time, whatever
//! becomes of the guest.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::idle::{Aged, Idle};
use super::statement::{Use, permit};
use super::target_server::Server;
use super::{RowSet, SqlError, SqlErrorKind, Statement};

/// Longest wait for a connection, its TLS and its authentication: three lost SYN packets.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait until a kept connection answers: one that a firewall has forgotten never does.
const KEPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for somebody else's lock, as on SQLite.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// What is kept back of the time of a call, so that the guest can still be told that its statement took too long, and what it did.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Longest wait until a server has taken note that a statement is to be stopped.
pub(super) const CUT_TIMEOUT: Duration = Duration::from_secs(2);

/// How a use of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It read, or what it wrote is committed: there is nothing to roll back.
    Well,
    /// It was to write and could not.
    Failed,
}

/// One connection to a server, which does one thing at a time.
pub(super) trait Session: Sized + Send + 'static {
    /// Whether what was written and not committed is gone for certain when the connection ends.
    const ROLLS_BACK_WHEN_CUT: bool;
    /// Connects, and sees to it that the role may not do too much.
    fn connect(server: &Server) -> impl Future<Output = Result<Self, SqlError>> + Send;
    /// Begins a transaction: for [`Use::Query`] one that only reads. What it runs may take `left`.
    fn begin(&mut self, used: Use, left: Duration) -> impl Future<Output = Result<(), SqlError>> + Send;
    /// Runs one statement that reads.
    fn read(&mut self, statement: &Statement) -> impl Future<Output = Result<RowSet, SqlError>> + Send;
    /// Runs one statement that changes rows; tells how many.
    fn write(&mut self, statement: &Statement) -> impl Future<Output = Result<u64, SqlError>> + Send;
    /// Commits. After an error nothing was changed, unless it says that this is not known.
    fn commit(&mut self) -> impl Future<Output = Result<(), SqlError>> + Send;
    /// Leaves nothing behind for who uses the connection next. After [`Ended::Failed`] it rolls back first; false when something could
    /// not be rolled back.
    fn clean(&mut self, ended: Ended) -> impl Future<Output = Result<bool, SqlError>> + Send;
    /// Ends the connection and what the server may still be doing for it.
    fn cut(self) -> impl Future<Output = ()> + Send;
}

/// A server with its connections.
pub(super) struct ServerEndpoint<S: Session> {
    server: Server,
    idle: Arc<Idle<S>>,
    /// As many connections as the target may make calls at the same time.
    slots: Arc<Semaphore>,
}

impl<S: Session> ServerEndpoint<S> {
    pub(super) fn new(server: Server, connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            server,
            idle: Idle::new(),
            slots: Arc::new(Semaphore::new(connections_max)),
        })
    }

    /// Runs one statement that reads.
    pub(super) async fn query(
        self: Arc<Self>,
        statement: Statement,
        deadline: Instant,
    ) -> Result<RowSet, SqlError> {
        permit(&statement.sql, Use::Query)?;
        detached(deadline, async move |mut call: Call| {
            let mut taken = self.take(Use::Query, &mut call).await?;
            let result = call.race(taken.connection.session.read(&statement)).await;
            let Some(result) = result else {
                taken.cut();
                return Err(SqlError::late());
            };
            // After these the server may still be sending, or is gone.
            let broken = |error: &SqlError| {
                matches!(
                    error.kind,
                    SqlErrorKind::LimitExceeded | SqlErrorKind::Unavailable
                )
            };
            if result.as_ref().is_err_and(broken) {
                taken.cut();
            } else {
                self.give_back(taken, Ended::Well, &mut call).await;
            }
            result
        })
        .await
    }

    /// Runs statements in one transaction. On an error everything is rolled back, unless it says otherwise.
    pub(super) async fn execute(
        self: Arc<Self>,
        statements: Vec<Statement>,
        deadline: Instant,
    ) -> Result<Vec<u64>, SqlError> {
        statements
            .iter()
            .try_for_each(|statement| permit(&statement.sql, Use::Execute))?;
        detached(deadline, async move |mut call: Call| {
            let mut taken = self.take(Use::Execute, &mut call).await?;
            let session = &mut taken.connection.session;
            let changed = match call.race(write_all(session, &statements)).await {
                None => {
                    taken.cut();
                    return Err(undone(SqlError::late(), S::ROLLS_BACK_WHEN_CUT));
                }
                Some(Err(error)) if error.kind == SqlErrorKind::Unavailable => {
                    taken.cut();
                    return Err(undone(error, S::ROLLS_BACK_WHEN_CUT));
                }
                Some(Err(error)) => {
                    let all_back = self.give_back(taken, Ended::Failed, &mut call).await;
                    return Err(undone(error, all_back));
                }
                Some(Ok(changed)) => changed,
            };
            match call.race(session.commit()).await {
                Some(Ok(())) => {
                    self.give_back(taken, Ended::Well, &mut call).await;
                    Ok(changed)
                }
                Some(Err(error)) => {
                    taken.cut();
                    Err(error)
                }
                None => {
                    taken.cut();
                    Err(SqlError::late().with_unknown_effect())
                }
            }
        })
        .await
    }

    /// A connection with a transaction begun.
    async fn take(&self, used: Use, call: &mut Call) -> Result<Taken<S>, SqlError> {
        let slot = call.race(Arc::clone(&self.slots).acquire_owned()).await;
        let Some(Ok(slot)) = slot else {
            let why = "no connection to the database became free";
            return Err(SqlError::new(SqlErrorKind::Busy, why));
        };
        if let Some(connection) = self.kept(used, call).await? {
            return Ok(Taken { connection, slot });
        }
        let left = call.left();
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT.min(left), S::connect(&self.server));
        let session = match call.race(connecting).await {
            Some(Ok(connected)) => connected?,
            Some(Err(_)) | None => return Err(self.server.unreachable("no connection in time")),
        };
        let made = Instant::now();
        let mut connection = Aged { session, made };
        match call.race(connection.session.begin(used, call.left())).await {
            Some(Ok(())) => Ok(Taken { connection, slot }),
            Some(Err(error)) => Err(error),
            None => Err(SqlError::late()),
        }
    }

    /// A connection that was kept, with a transaction begun. It may be broken by now. Nothing of the guest's has been asked of it
    /// then, so it is just dropped.
    async fn kept(&self, used: Use, call: &mut Call) -> Result<Option<Aged<S>>, SqlError> {
        while let Some(mut kept) = self.idle.take() {
            // Some time is left for a new connection.
            let limit = KEPT_TIMEOUT.min(call.left() / 2);
            let begun = tokio::time::timeout(limit, kept.session.begin(used, call.left()));
            match call.race(begun).await {
                Some(Ok(Ok(()))) => return Ok(Some(kept)),
                Some(Ok(Err(_))) => {}
                Some(Err(_)) => self.idle.clear(),
                // Nobody waits any more, or the time is over: that says nothing of the other connections.
                None => return Err(SqlError::late()),
            }
        }
        Ok(None)
    }

    /// Keeps a connection for the next call, if it is whole. False when what was done may not all be rolled back.
    async fn give_back(&self, mut taken: Taken<S>, ended: Ended, call: &mut Call) -> bool {
        match call.race(taken.connection.session.clean(ended)).await {
            Some(Ok(all_back)) => {
                Idle::keep(&self.idle, taken.connection);
                all_back
            }
            Some(Err(_)) | None => {
                taken.cut();
                S::ROLLS_BACK_WHEN_CUT
            }
        }
    }
}

/// What is told of statements that were not committed.
fn undone(error: SqlError, all_back: bool) -> SqlError {
    if all_back {
        error
    } else {
        error.with_unknown_effect()
    }
}

async fn write_all<S: Session>(session: &mut S, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
    let mut changed = Vec::with_capacity(statements.len());
    for statement in statements {
        changed.push(session.write(statement).await?);
    }
    Ok(changed)
}

/// A connection in use.
struct Taken<S> {
    connection: Aged<S>,
    slot: OwnedSemaphorePermit,
}

impl<S: Session> Taken<S> {
    /// Ends it, without waiting until it is ended; its slot is free after that.
    fn cut(self) {
        tokio::spawn(async move {
            self.connection.session.cut().await;
            drop(self.slot);
        });
    }
}

/// The time of one call, and whether anybody still waits for it.
struct Call {
    until: Instant,
    gone: watch::Receiver<()>,
}

impl Call {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What the work gives; nothing when it is late or nobody waits for it any more.
    async fn race<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            // Nothing is ever sent: this ends when the other side is dropped.
            _ = self.gone.changed() => None,
            () = tokio::time::sleep_until(self.until.into()) => None,
        }
    }
}

/// Runs a call so that it comes to its end even when the guest that made it is gone: the connection is then cut, and not left in
/// the middle of a statement.
async fn detached<T: Send + 'static, F>(
    deadline: Instant,
    work: impl FnOnce(Call) -> F,
) -> Result<T, SqlError>
where
    F: Future<Output = Result<T, SqlError>> + Send + 'static,
{
    let left = deadline.saturating_duration_since(Instant::now());
    let until = deadline
        .checked_sub(LAST_WORDS.min(left / 10))
        .unwrap_or(deadline);
    let (_waits, gone) = watch::channel(());
    match tokio::spawn(work(Call { until, gone })).await {
        Ok(result) => result,
        Err(_) => Err(SqlError::host_failed()),
    }
}

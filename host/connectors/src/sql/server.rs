//! A granted database server, as guests use it: connections that are kept for a while, and calls on them that end in time, whatever
//! becomes of the guest.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::idle::Idle;
use super::statement::{Use, permit};
use super::target_server::Server;
use super::{RowSet, SqlError, SqlErrorKind, Statement};

/// Longest wait for a connection, its TLS and its authentication: three lost SYN packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for somebody else's lock, as on SQLite.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// What is kept back of the time of a call, so that the guest can still be told that its statement took too long, and what it did.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Longest wait until a server has taken note that a statement is to be stopped.
pub(super) const CUT_TIMEOUT: Duration = Duration::from_secs(2);

/// One connection to a server, which does one thing at a time.
pub(super) trait Session: Sized + Send + 'static {
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
    /// Rolls back what is open and leaves nothing behind for who uses the connection next. False when something could not be
    /// rolled back.
    fn clean(&mut self) -> impl Future<Output = Result<bool, SqlError>> + Send;
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
            let result = call.race(taken.session.read(&statement)).await;
            let Some(result) = result else {
                taken.cut();
                return Err(SqlError::late());
            };
            self.give_back(taken, result.as_ref().err(), &mut call).await;
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
            let result = match call.race(write_all(&mut taken.session, &statements)).await {
                None => Err(SqlError::late()),
                Some(Err(error)) => {
                    let all_back = self.give_back(taken, Some(&error), &mut call).await;
                    return Err(if all_back {
                        error
                    } else {
                        error.with_unknown_effect()
                    });
                }
                Some(Ok(changed)) => match call.race(taken.session.commit()).await {
                    None => Err(SqlError::late().with_unknown_effect()),
                    Some(committed) => committed.map(|()| changed),
                },
            };
            match result {
                Ok(changed) => {
                    self.give_back(taken, None, &mut call).await;
                    Ok(changed)
                }
                Err(error) => {
                    taken.cut();
                    Err(error)
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
        // One that was kept may be broken by now. Nothing has been asked of it then, so another one is taken.
        while let Some(mut session) = self.idle.take() {
            match call.race(session.begin(used, call.left())).await {
                Some(Ok(())) => return Ok(Taken { session, slot }),
                Some(Err(_)) => drop(tokio::spawn(session.cut())),
                None => {
                    Taken { session, slot }.cut();
                    return Err(SqlError::late());
                }
            }
        }
        let left = call.left();
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT.min(left), S::connect(&self.server));
        let mut session = match call.race(connecting).await {
            Some(Ok(connected)) => connected?,
            Some(Err(_)) | None => return Err(self.server.unreachable("no connection in time")),
        };
        match call.race(session.begin(used, call.left())).await {
            Some(Ok(())) => Ok(Taken { session, slot }),
            Some(Err(error)) => {
                Taken { session, slot }.cut();
                Err(error)
            }
            None => {
                Taken { session, slot }.cut();
                Err(SqlError::late())
            }
        }
    }

    /// Keeps a connection for the next call, if it is whole. False when what was done could not all be rolled back.
    async fn give_back(&self, mut taken: Taken<S>, error: Option<&SqlError>, call: &mut Call) -> bool {
        // After these the server may still be sending, or is gone.
        let broken = |error: &SqlError| {
            matches!(
                error.kind,
                SqlErrorKind::LimitExceeded | SqlErrorKind::Unavailable
            )
        };
        if error.is_some_and(broken) {
            taken.cut();
            return true;
        }
        match call.race(taken.session.clean()).await {
            Some(Ok(all_back)) => {
                Idle::keep(&self.idle, taken.session);
                all_back
            }
            Some(Err(_)) | None => {
                taken.cut();
                true
            }
        }
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
    session: S,
    slot: OwnedSemaphorePermit,
}

impl<S: Session> Taken<S> {
    /// Ends it, without waiting until it is ended; its slot is free after that.
    fn cut(self) {
        tokio::spawn(async move {
            self.session.cut().await;
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

//! Store errors, by what the caller can do.

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing. Ask for another.
    #[error("{0}")]
    NotFound(String),
    /// The facts, documents or observations changed meanwhile. Read again and decide anew.
    #[error("{0}")]
    Stale(String),
    /// Another process has the data folder. Wait for it or stop it.
    #[error("{0}")]
    InUse(String),
    /// The database is of another version than this program. Use the right program.
    #[error("{0}")]
    Version(String),
    /// This writer's lease was over and others took its work. Rejoin, and begin anew: nothing of this commit was recorded.
    #[error("{0}")]
    Fenced(String),
    /// The store is frozen: nothing may run. A person must look and thaw it.
    #[error("{0}")]
    Frozen(String),
    /// The key does not open the store, or none was given. Give the right one.
    #[error("{0}")]
    Key(String),
    /// A row makes no sense. Restore, or ask for help; nothing was changed.
    #[error("corrupt row: table {table}, column {column}, row {row}: {reason}")]
    Corrupt {
        /// Table name.
        table: &'static str,
        /// Column name.
        column: &'static str,
        /// Row id.
        row: i64,
        /// What is wrong with the value.
        reason: String,
    },
    /// The database file is broken. Restore a backup, or ask for help; nothing was changed.
    #[error("{0}")]
    Damaged(String),
    /// The disk does not take what is written. Mend that, and the same call succeeds: nothing of it was recorded.
    #[error("{doing}: {trouble}; nothing of it was recorded ({message})")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// What to mend.
        trouble: DiskTrouble,
        /// The database's words, without bound values.
        message: String,
    },
    /// Another writer changed the same rows at the same moment. Try again at once.
    #[error("{0}")]
    Contended(String),
    /// The database refused or cannot be reached. Try again later.
    #[error("{doing}: {message}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// The database's words, without bound values.
        message: String,
    },
}

/// Why a disk does not take what is written, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskTrouble {
    /// No room.
    #[error("there is no room left on the disk; make room, then try again")]
    Full,
    /// No right to write, or no way to open.
    #[error("the database cannot be written; make its folder and file writable, then try again")]
    ReadOnly,
    /// A limit on the size of files, or a disk that fails.
    #[error(
        "the disk refuses to write: look at its health, at quotas and at limits on the size of files, then try again"
    )]
    Refuses,
}

//! Why a connector cannot be loaded. Written for its author and for the operator: what is wrong, and what to do.

use usher_lifecycle::connector::CallError;

/// The sandbox itself could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot start: {0}")]
pub struct SandboxError(pub(crate) String);

/// Why a component was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// Larger than a connector may be.
    #[error("the component has {bytes} bytes; at most {max} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is accepted.
        max: usize,
    },
    /// Not a WebAssembly component at all.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// Compiling it takes more than a component may take.
    #[error(
        "compiling the component was stopped at {limit}; connectors of 20 MiB stay far below that: build it smaller, without debug \
         information and with fewer dependencies"
    )]
    CompileLimit {
        /// Which limit, and how large it is.
        limit: String,
        /// Whether it is met again, however little else the machine has to do.
        again: bool,
    },
    /// The compiler did not survive it. Only the process that compiles is gone.
    #[error("the compiler failed on this component: {how}; nothing else was disturbed")]
    CompilerFailed {
        /// How it ended.
        how: String,
        /// Whether it crashed, which it would do again: anything else may have come from outside.
        again: bool,
    },
    /// A component, but not one that follows the contract.
    #[error("not a connector this host can use: {0}")]
    Contract(String),
    /// It imports what the target does not grant.
    #[error(
        "the connector imports `{import}`, which target `{target}` does not grant; if it should have it, add:\n{grant}"
    )]
    NotGranted {
        /// The import.
        import: String,
        /// The target.
        target: String,
        /// Lines for the targets document.
        grant: String,
    },
    /// The target's settings do not satisfy the connector's schema.
    #[error("the settings do not satisfy the connector: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// A grant or the authentication cannot be used as written.
    #[error("{0}")]
    Configuration(String),
    /// `describe` or `schema` failed.
    #[error("the connector failed when asked to {what}: {error}")]
    Call {
        /// What it was asked for.
        what: &'static str,
        /// What happened.
        error: CallError,
    },
    /// It described itself or its accounts in a way that cannot be used.
    #[error("the connector's {what} cannot be used: {why}")]
    Description {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The host could not do its part.
    #[error("the connector could not be loaded: {0}")]
    Host(String),
}

impl LoadError {
    /// Whether the bytes of the component are at fault, whatever target asks for them: trying again gives the same.
    pub(crate) const fn is_of_the_component(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::NotAComponent(_) | Self::Contract(_) => true,
            Self::CompileLimit { again, .. } | Self::CompilerFailed { again, .. } => *again,
            Self::NotGranted { .. }
            | Self::Settings(_)
            | Self::Configuration(_)
            | Self::Call { .. }
            | Self::Description { .. }
            | Self::Host(_) => false,
        }
    }
}

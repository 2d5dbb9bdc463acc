//! Where the program meets the machine: clock, randomness, secrets, files, signals. Nothing else reads any of these.

pub(crate) mod actor;
pub(crate) mod app;
pub(crate) mod clock;
pub(crate) mod connectors;
pub(crate) mod file_limit;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod host;
pub(crate) mod interrupt;
pub(crate) mod keys;
pub(crate) mod leaving;
pub(crate) mod place;
pub(crate) mod probes;
pub(crate) mod progress;
pub(crate) mod randomness;
pub(crate) mod sealing;
pub(crate) mod secrets;
pub(crate) mod serving;
pub(crate) mod supervisor;
pub(crate) mod watch;

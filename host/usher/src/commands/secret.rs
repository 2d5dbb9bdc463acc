//! `usher secret set | list | remove`

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use usher_lifecycle::name::Name;
use usher_store::{SECRET_BYTES_MAX, SecretInfo, SecretStore as _, StoreError};
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::secrets;

/// Secrets of targets, encrypted in the store. A targets document refers to one as `{ store = "NAME" }`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a secret: what is piped in, or a file. Never an argument: those are visible to everybody on this machine.
    Set {
        /// Its name.
        name: Name,
        /// Take it from this file, readable by you alone; one trailing line break is taken off.
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// Names, versions and when each was set. Values are never shown.
    List,
    /// Remove a secret.
    Remove {
        /// Its name.
        name: Name,
    },
}

#[derive(Serialize)]
struct Listed {
    secrets: Vec<SecretInfo>,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a Name,
}

impl SecretCommand {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Set { name, from_file } => {
                let value = match from_file {
                    Some(file) => {
                        let secret = secrets::from_file(file)
                            .map_err(|reason| Failure::new(Exit::BadInput, reason))?;
                        Zeroizing::new(secret.expose().to_owned())
                    }
                    None => piped()?,
                };
                let app = App::open(global).await?;
                let set = app.store.set_secret(name, &value, &app.context()).await?;
                output.answer(&set, |set, _| {
                    format!("Set {}, version {}\n", set.name, set.version)
                })?;
            }
            Self::List => {
                let app = App::open(global).await?;
                let listed = Listed {
                    secrets: app.store.secrets().await?,
                };
                output.answer(&listed, |listed, ink| {
                    render::secrets::secrets(&listed.secrets, ink)
                })?;
            }
            Self::Remove { name } => {
                let app = App::open(global).await?;
                let removed = app.store.remove_secret(name, &app.context()).await;
                removed.map_err(|error| match error {
                    StoreError::NotFound(_) => {
                        Failure::new(Exit::BadInput, format!("the store holds no secret `{name}`"))
                            .advice("`usher secret list` tells which there are")
                    }
                    other => other.into(),
                })?;
                output.answer(&Removed { removed: name }, |_, _| format!("Removed {name}\n"))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// The secret that is piped in, without one trailing line break.
fn piped() -> Result<Zeroizing<String>, Failure> {
    let refused = |message: String| Failure::new(Exit::BadInput, message);
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(refused("what is typed here would show on the screen".to_owned())
            .advice("pipe the secret in (`vault read … | usher secret set NAME`), or name a file with --from-file"));
    }
    let mut text = Zeroizing::new(String::new());
    stdin
        .lock()
        .take(SECRET_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| refused(format!("the secret cannot be read from stdin: {error}")))?;
    if text.len() > SECRET_BYTES_MAX {
        return Err(refused(format!(
            "what is piped in has more than {SECRET_BYTES_MAX} bytes; is it the right thing?"
        )));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(refused("nothing was piped in".to_owned()));
    }
    Ok(text)
}

//! The way in: loads components for targets, and looks at components without one.

use std::path::PathBuf;
use std::sync::Arc;

use usher_lifecycle::connector::{CallError, Descriptor};
use usher_lifecycle::name::Name;
use usher_lifecycle::targets::{ConnectorReference, Target};

use crate::compile::Compiler;
use crate::component::{self, Loader};
use crate::engine::{self, Runtime};
use crate::error::{LoadError, SandboxError};
use crate::generation::Generation;
use crate::inspect::Inspection;
use crate::link::Granted;
use crate::native_cache::{CodeKey, NativeCache};
use crate::runner::Runner;
use crate::secret_check::SecretCheck;
use crate::secrets::{FixedSecrets, Secrets};

/// Loads connectors. Cheap to clone; all of a process share one engine.
#[derive(Clone)]
pub struct Sandbox {
    runtime: &'static Runtime,
    loader: Arc<Loader>,
}

/// Where native code is kept between runs.
#[derive(Debug)]
pub struct CodeFolder {
    /// A folder for this alone, private to this user. It is made if need be.
    pub folder: PathBuf,
    /// Proves that a file in it was written by us.
    pub key: CodeKey,
}

impl Sandbox {
    /// Sets the sandbox up. Components are compiled by `compiler`; native code is kept in a folder, if one is given.
    pub fn new(compiler: Compiler, kept: Option<CodeFolder>) -> Result<Self, SandboxError> {
        let cache = kept.map(|kept| NativeCache::open(kept.folder, kept.key));
        let cache = cache.transpose()?.flatten();
        Ok(Self {
            runtime: engine::runtime()?,
            loader: Arc::new(Loader::new(compiler, cache)),
        })
    }

    /// Loads a component for one target: checks it against the contract and the target's grants, checks the settings against its
    /// schema, and asks it to describe itself and its accounts. Nothing of the target is reached.
    pub async fn load(
        &self,
        bytes: Vec<u8>,
        target: &Target,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Arc<Generation>, LoadError> {
        let loaded = self.loader.load(&self.runtime.engine, bytes).await?;
        component::check_granted(&loaded.imports, target)?;
        let granted = Granted {
            http: !target.grants.http.is_empty(),
            sql: !target.grants.sql.is_empty(),
        };
        let secret_check = SecretCheck::new(target, Arc::clone(&secrets));
        secret_check.warn().await;
        let runner = Runner::new(self.runtime, &loaded, target, granted, secrets).await?;
        let (general, settings_schema) = run_describe(&runner, false).await?;
        check_named(&general, &target.connector)?;
        let violations = settings_schema.violations(&runner.example_settings());
        if !violations.is_empty() {
            return Err(LoadError::Settings(violations));
        }
        let (descriptor, _) = run_describe(&runner, true).await?;
        check_same(&general, &descriptor)?;
        let asked = runner.run("schema", |guest| guest.schema()).await;
        let account_schema = asked
            .map_err(|error| call_failed("tell its account schema", error))?
            .map_err(|why| LoadError::Description {
                what: "account schema",
                why,
            })?;
        Ok(Arc::new(Generation {
            runner,
            digest: loaded.digest.clone(),
            descriptor,
            account_schema,
            secret_check,
        }))
    }

    /// Looks at a component without a target: what it is, what it exports and what it needs. It runs once, and reaches nothing.
    pub async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspection, LoadError> {
        let loaded = self.loader.load(&self.runtime.engine, bytes).await?;
        // All that could be granted is linked, but nothing is: whatever it tried would be refused.
        let granted = Granted {
            http: true,
            sql: true,
        };
        let runner = Runner::new(
            self.runtime,
            &loaded,
            &no_target()?,
            granted,
            Arc::new(FixedSecrets::none()),
        )
        .await?;
        let (descriptor, _) = run_describe(&runner, false).await?;
        Ok(Inspection {
            digest: loaded.digest.clone(),
            size_bytes: loaded.size_bytes,
            exports: loaded.exports.clone(),
            imports: loaded.imports.clone(),
            descriptor,
        })
    }
}

async fn run_describe(
    runner: &Runner,
    with_settings: bool,
) -> Result<(Descriptor, crate::schema::Schema), LoadError> {
    let described = runner
        .run("describe", |guest| guest.describe(with_settings))
        .await;
    let described = described.map_err(|error| call_failed("describe itself", error))?;
    described.map_err(|why| LoadError::Description {
        what: "description of itself",
        why,
    })
}

/// A connector that calls itself another name than the one the target asks for is not that connector.
fn check_named(descriptor: &Descriptor, reference: &ConnectorReference) -> Result<(), LoadError> {
    let (name, version) = match reference {
        ConnectorReference::Digest(_) => return Ok(()),
        ConnectorReference::Name { name, version } => (name.to_string(), version.as_deref()),
    };
    if descriptor.name == name && version.is_none_or(|version| descriptor.version == version) {
        return Ok(());
    }
    Err(untrue(format!(
        "the target asks for `{name}{}{}`, and it calls itself `{} {}`",
        if version.is_some() { " " } else { "" },
        version.unwrap_or_default(),
        descriptor.name,
        descriptor.version
    )))
}

/// What a connector is cannot depend on the settings; what it can do may.
fn check_same(general: &Descriptor, under_settings: &Descriptor) -> Result<(), LoadError> {
    if (&general.name, &general.version) != (&under_settings.name, &under_settings.version) {
        return Err(untrue(format!(
            "it calls itself `{} {}` at first and `{} {}` under the target's settings",
            general.name, general.version, under_settings.name, under_settings.version
        )));
    }
    if general.settings_schema != under_settings.settings_schema {
        return Err(untrue(
            "its settings-schema is another one under the target's settings".to_owned(),
        ));
    }
    Ok(())
}

fn untrue(why: String) -> LoadError {
    LoadError::Description {
        what: "description of itself",
        why,
    }
}

fn call_failed(what: &'static str, error: CallError) -> LoadError {
    LoadError::Call { what, error }
}

/// Stands for a target where there is none: grants nothing.
fn no_target() -> Result<Target, LoadError> {
    let name: Name = "inspect"
        .parse()
        .map_err(|error| LoadError::Host(format!("{error}")))?;
    let connector = ConnectorReference::Name {
        name: name.clone(),
        version: None,
    };
    Ok(Target::new(name, connector))
}

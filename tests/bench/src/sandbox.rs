//! One `create` in a fresh sandbox, beside the bare wasmtime call and native code, in the same run.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use serde_json::{Map, Value, json};
use usher_connectors::{Connector, FixedSecrets, Sandbox};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{AccountRecord, WriteContext};

use crate::bare::Bare;
use crate::measure::{Samples, peak_memory_mib, stretch};
use crate::noop;
use crate::report::Table;

/// Calls measured of each way.
const CALLS: usize = 5_000;

/// Calls before that.
const WARM_UP: usize = 500;

/// Native calls are so short that CPU time, counted in ticks of 10 ms, needs more of them.
const NATIVE_FACTOR: usize = 20;

/// Runs the bench and gives its table.
pub(crate) async fn run() -> anyhow::Result<Table> {
    let component = noop::component();
    let attributes = attributes();
    let write = WriteContext {
        intent_id: "op_bench".into(),
        attempt: 1,
        reason: "bench".into(),
    };

    let sandbox = Sandbox::new(crate::compiler()?, None)?;
    let generation = sandbox
        .load(
            component.clone(),
            &noop::target("noop")?,
            Arc::new(FixedSecrets::none()),
        )
        .await?;
    let bare = Bare::new(&component).await?;
    let text = serde_json::to_string(&attributes).context("attributes as text")?;

    // Turn and turn about, so that a slow moment of the machine falls on all three.
    let (mut native, mut floor, mut fresh) = (Samples::new(CALLS), Samples::new(CALLS), Samples::new(CALLS));
    for n in 0..CALLS + WARM_UP {
        if n == WARM_UP {
            for samples in [&mut native, &mut floor, &mut fresh] {
                samples.clear();
            }
        }
        let since = Instant::now();
        std::hint::black_box(native_create(&write, &text)?);
        native.add(since);

        let since = Instant::now();
        bare.create(&write.intent_id, &text).await?;
        floor.add(since);

        let since = Instant::now();
        generation
            .create(&write, &attributes)
            .await
            .map_err(|error| anyhow!(error))?;
        fresh.add(since);
    }
    // CPU time is counted for the whole process, so each way has a stretch of its own.
    let end = stretch();
    for _ in 0..CALLS * NATIVE_FACTOR {
        std::hint::black_box(native_create(&write, &text)?);
    }
    let native_cpu = end().cpu / u32::try_from(NATIVE_FACTOR)?;
    let end = stretch();
    for _ in 0..CALLS {
        bare.create(&write.intent_id, &text).await?;
    }
    let floor_cpu = end().cpu;
    let end = stretch();
    for _ in 0..CALLS {
        generation
            .create(&write, &attributes)
            .await
            .map_err(|error| anyhow!(error))?;
    }
    let fresh_cpu = end().cpu;

    let mut table = Table::new(
        "sandbox: one `create`, 10 attributes in and out",
        &["way", "p50 µs", "p99 µs", "CPU µs/call", "p50 ÷ bare wasmtime"],
    );
    for (name, samples, cpu) in [
        ("native code", &native, native_cpu),
        ("bare wasmtime, fresh instance", &floor, floor_cpu),
        ("Usher, fresh sandbox", &fresh, fresh_cpu),
    ] {
        table.row(&[
            name.into(),
            format!("{:.1}", samples.percentile_us(500)),
            format!("{:.1}", samples.percentile_us(990)),
            format!("{:.1}", cpu.as_secs_f64() * 1e6 / CALLS as f64),
            format!("{:.2}x", samples.percentile_us(500) / floor.percentile_us(500)),
        ]);
    }
    table.note(format!(
        "{CALLS} calls of each, taken in turn; peak memory {:.0} MiB",
        peak_memory_mib()
    ));
    Ok(table)
}

/// What the connector does, without a sandbox: parse, answer.
fn native_create(write: &WriteContext, text: &str) -> anyhow::Result<AccountRecord> {
    let attributes: Map<String, Value> = serde_json::from_str(text)?;
    Ok(AccountRecord {
        id: write.intent_id.clone(),
        attributes,
        state: AccountState::Enabled,
        version: None,
        marker: Some(write.intent_id.clone()),
    })
}

fn attributes() -> Attributes {
    let document = json!({
        "userName": "mei.tanaka", "givenName": "Mei", "familyName": "Tanaka", "email": "mei.tanaka@example.test",
        "department": "Engineering", "title": "Engineer", "location": "Berlin", "employeeNumber": "E0001042",
        "manager": "E0000007", "projects": ["atlas", "borealis"]
    });
    document.as_object().cloned().unwrap_or_default()
}

//! Reads the targets document.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::auth::read_http_auth;
use super::dependencies::{read_depends_on, refuse_circle};
use super::grants::read_grants;
use super::pilot::{PilotText, read_pilot};
use super::protected::read_protected;
use super::secrets::{check_secrets, read_secrets};
use super::wire::{read_proxy, read_tls};
use super::{ApplyMode, ConnectorReference, Limits, Protected, Reconcile, Target, Targets, Tls};
use crate::document::DocumentErrors;
use crate::document::item::Item;
use crate::document::reader::{Reader, Table};
use crate::expr::Strictness;
use crate::name::{Name, TargetName};
use crate::policy::LABEL_CHARS_MAX;

/// Most targets of a document.
pub const TARGETS_MAX: usize = 1_000;
/// The largest limits that may be set: a call that needs more is a job, not a call.
pub const LIMITS_MAX: Limits = Limits {
    cpu_ms: 60_000,
    wall_ms: 600_000,
    memory_mib: 1_024,
    requests: 10_000,
    response_kib: 65_536,
    transfer_kib: 1_048_576,
    concurrency: 256,
    settle_ms: 600_000,
};
/// How often a target may be reconciled: more often would be a load for nothing, more seldom is never.
const RECONCILE_EVERY_MINUTES: std::ops::RangeInclusive<u32> = 5..=31 * 24 * 60;

/// Reads a targets document that was in force already. `file` is the name shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn parse(file: &str, text: &str) -> Result<Targets, DocumentErrors> {
    read(file, text, Strictness::Stored)
}

/// The same for a document that is to come into force: its expressions are also checked for what would fail for some accounts.
///
/// # Errors
/// As [`parse`].
pub fn parse_strictly(file: &str, text: &str) -> Result<Targets, DocumentErrors> {
    read(file, text, Strictness::New)
}

fn read(file: &str, text: &str, strictness: Strictness) -> Result<Targets, DocumentErrors> {
    Reader::read(file, text, |root| {
        let item = root.need("targets", "begin with [targets.app]")?;
        read_targets(&item, strictness)
    })
}

fn read_targets(item: &Item<'_, '_>, strictness: Strictness) -> Option<Targets> {
    let entries = item.table()?.entries();
    if entries.len() > TARGETS_MAX {
        item.mistake(format!("more than {TARGETS_MAX} targets"));
        return None;
    }
    let mut targets = BTreeMap::new();
    let mut pilots = BTreeMap::new();
    let mut whole = true;
    let names: Vec<String> = entries.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (name, item) in &entries {
        let name = match name.parse::<TargetName>() {
            Ok(name) => Some(name),
            Err(error) => {
                item.mistake_of_key(error.to_string());
                None
            }
        };
        let read = item
            .table()
            .and_then(|table| read_target(&table, name?, &names, strictness));
        match read {
            Some((target, pilot)) => {
                pilots.extend(pilot.map(|pilot| (target.name.clone(), pilot)));
                targets.insert(target.name.clone(), target);
            }
            None => whole = false,
        }
    }
    if whole {
        refuse_circle(&targets, &entries)?;
    }
    whole.then_some(Targets { targets, pilots })
}

fn read_target(
    table: &Table<'_, '_>,
    name: TargetName,
    names: &[String],
    strictness: Strictness,
) -> Option<(Target, Option<PilotText>)> {
    let connector = table
        .need("connector", "which connector serves it, like connector = \"sql\"")
        .and_then(|item| read_connector(&item));
    let apply = optional(table.take("apply"), ApplyMode::Observe, |item| {
        item.choice(&[
            ("observe", ApplyMode::Observe),
            ("manual", ApplyMode::Manual),
            ("auto", ApplyMode::Auto),
        ])
    });
    let depends_on = optional(table.take("depends-on"), Vec::new(), |item| {
        read_depends_on(&item, names)
    });
    let pilot = optional(table.take("pilot"), None, |item| read_pilot(&item).map(Some));
    let reconcile = read_reconcile(table);
    let settings_item = table.take("settings");
    let settings = optional(settings_item.as_ref(), Value::Object(Map::new()), |item| {
        item.table()?;
        item.json()
    });
    let grants = optional(table.take("grants"), Default::default(), |item| {
        read_grants(&item)
    });
    let (tls_item, proxy_item) = (table.take("tls"), table.take("proxy"));
    let mut tls = optional(tls_item.as_ref(), Tls::default(), read_tls);
    let mut proxy = optional(proxy_item.as_ref(), None, |item| read_proxy(item).map(Some));
    let no_http = "is for HTTP, but no HTTP endpoint is granted: add [[….grants.http]]";
    if let (Some(_), Some(item)) = (grants.as_ref().filter(|grants| grants.http.is_empty()), &tls_item) {
        item.mistake_of_key(no_http);
        tls = None;
    }
    if let (Some(_), Some(item)) = (
        grants.as_ref().filter(|grants| grants.http.is_empty()),
        &proxy_item,
    ) {
        item.mistake_of_key(no_http);
        proxy = None;
    }
    let auth_item = table.take("http-auth");
    let mut http_auth = optional(auth_item.as_ref(), None, |item| read_http_auth(item).map(Some));
    if let (Some(grants), Some(item)) = (&grants, &auth_item)
        && grants.http.is_empty()
    {
        item.mistake_of_key(
            "authenticates HTTP requests, but no HTTP endpoint is granted: add [[….grants.http]]",
        );
        http_auth = None;
    }
    let secrets_item = table.take("secrets");
    let secrets = optional(secrets_item.as_ref(), BTreeMap::new(), read_secrets);
    if let (Some(settings), Some(grants), Some(secrets)) = (&settings, &grants, &secrets) {
        check_secrets(
            settings_item.as_ref(),
            settings,
            secrets_item.as_ref(),
            secrets,
            grants,
        );
    }
    let protected = optional(table.take("protected"), Protected::default(), |item| {
        read_protected(&item, strictness)
    });
    let limits = optional(table.take("limits"), Limits::default(), |item| read_limits(&item));
    table.finish();
    let pilot = pilot?;
    let target = Target {
        name,
        connector: connector?,
        apply: apply?,
        depends_on: depends_on?,
        reconcile: reconcile?,
        settings: settings?,
        grants: grants?,
        http_auth: http_auth?,
        tls: tls?,
        proxy: proxy?,
        secrets: secrets?,
        protected: protected?,
        limits: limits?,
    };
    Some((target, pilot))
}

/// The value of an item that may be missing: the default then, nothing when it is wrong.
fn optional<I, T>(item: Option<I>, default: T, read: impl FnOnce(I) -> Option<T>) -> Option<T> {
    item.map_or(Some(default), read)
}

fn read_reconcile(table: &Table<'_, '_>) -> Option<Reconcile> {
    let default = Reconcile::default();
    let every_minutes = optional(table.take("reconcile-every"), None, |item| {
        read_minutes(&item).map(Some)
    });
    let shrink_max_percent = optional(
        table.take("reconcile-shrink-max-percent"),
        default.shrink_max_percent,
        |item| item.number(0..=100),
    );
    Some(Reconcile {
        every_minutes: every_minutes?,
        shrink_max_percent: shrink_max_percent?,
    })
}

/// `"15m"`, `"6h"` or `"1d"`.
fn read_minutes(item: &Item<'_, '_>) -> Option<u32> {
    let text = item.text()?;
    let units = [("m", 1), ("h", 60), ("d", 24 * 60)];
    let minutes = units.iter().find_map(|(unit, minutes)| {
        let number = text.strip_suffix(unit)?;
        let whole = number.bytes().all(|b| b.is_ascii_digit()) && number.len() <= 6;
        let number: u32 = number.parse().ok().filter(|_| whole)?;
        number.checked_mul(*minutes)
    });
    let minutes = minutes.filter(|minutes| RECONCILE_EVERY_MINUTES.contains(minutes));
    if minutes.is_none() {
        item.mistake("must be a whole number of minutes, hours or days, like \"30m\", \"6h\" or \"1d\"; from 5m to 31d");
    }
    minutes
}

fn read_connector(item: &Item<'_, '_>) -> Option<ConnectorReference> {
    let text = item.text()?;
    if let Some(digest) = text.strip_prefix("sha256:") {
        let right = digest.len() == 64
            && digest
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !right {
            item.mistake("after sha256: come 64 digits from 0 to 9 and a to f");
        }
        return right.then(|| ConnectorReference::Digest(digest.to_owned()));
    }
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    if version.is_some_and(|version| !is_version(version)) {
        item.mistake("after @ comes a version of three numbers, like \"sql@0.1.0\"");
        return None;
    }
    match name.parse::<Name>() {
        Ok(name) => Some(ConnectorReference::Name {
            name,
            version: version.map(ToOwned::to_owned),
        }),
        Err(error) => {
            item.mistake(format!(
                "must be \"name\", \"name@version\" or \"sha256:…\": {error}"
            ));
            None
        }
    }
}

/// Three numbers, and perhaps a pre-release or build after them; what exactly it names is asked when it is resolved.
fn is_version(text: &str) -> bool {
    let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let parts: Vec<&str> = numbers.split('.').collect();
    let number = |part: &&str| {
        !part.is_empty()
            && part.len() <= 9
            && part.bytes().all(|b| b.is_ascii_digit())
            && (*part == "0" || !part.starts_with('0'))
    };
    parts.len() == 3
        && parts.iter().all(number)
        && rest.len() != 1
        && text.len() <= LABEL_CHARS_MAX
        && rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
}

/// An absolute path without detours, as it is: no file is looked at here.
pub(super) fn read_absolute_path(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(4_096)?;
    let path = std::path::Path::new(text);
    let detour = path
        .components()
        .any(|part| matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || detour {
        item.mistake("must be an absolute path without `..`");
        return None;
    }
    Some(text.to_owned())
}

fn read_limits(item: &Item<'_, '_>) -> Option<Limits> {
    let table = item.table()?;
    let default = Limits::default();
    let limit =
        |key: &str, default: u32, most: u32| optional(table.take(key), default, |item| item.number(1..=most));
    let cpu_ms = limit("cpu-ms", default.cpu_ms, LIMITS_MAX.cpu_ms);
    let wall_ms = limit("wall-ms", default.wall_ms, LIMITS_MAX.wall_ms);
    let memory_mib = limit("memory-mib", default.memory_mib, LIMITS_MAX.memory_mib);
    let requests = limit("requests", default.requests, LIMITS_MAX.requests);
    let response_kib = limit("response-kib", default.response_kib, LIMITS_MAX.response_kib);
    let transfer_kib = limit("transfer-kib", default.transfer_kib, LIMITS_MAX.transfer_kib);
    let concurrency = limit("concurrency", default.concurrency, LIMITS_MAX.concurrency);
    let settle_ms = limit("settle-ms", default.settle_ms, LIMITS_MAX.settle_ms);
    table.finish();
    if let (Some(cpu_ms), Some(wall_ms)) = (cpu_ms, wall_ms)
        && cpu_ms > wall_ms
    {
        table.mistake(format!(
            "cpu-ms ({cpu_ms}) cannot be more than wall-ms ({wall_ms})"
        ));
        return None;
    }
    Some(Limits {
        cpu_ms: cpu_ms?,
        wall_ms: wall_ms?,
        memory_mib: memory_mib?,
        requests: requests?,
        response_kib: response_kib?,
        transfer_kib: transfer_kib?,
        concurrency: concurrency?,
        settle_ms: settle_ms?,
    })
}

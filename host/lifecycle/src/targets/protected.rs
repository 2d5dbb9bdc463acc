//! Protected accounts: those of a target that Usher never changes, whatever policy says and whoever asks.
//!
//! ```toml
//! [targets.app.protected]
//! own = ["usher"]                                   # whom Usher itself signs in as
//! ids = ["break-glass"]                             # the target's own ids
//! when = "account.username.startsWith('svc-')"      # over `account`: its id and attributes
//! ```
//!
//! Any of the three protects. `own` are names, compared with the id and with what an account is signed in with; where it is not said, the
//! names that the target's grants and its basic authentication sign in with are taken, and `own = []` says that none of them is an account
//! there. Letters' case makes no difference in `own` and `ids`. A rule that cannot be evaluated for an account protects it, and is told.

use std::collections::{BTreeMap, BTreeSet};

use super::{HttpAuth, SqlDatabase, Target, Targets};
use crate::attributes::Attributes;
use crate::document::hint::did_you_mean;
use crate::document::item::Item;
use crate::document::{DocumentError, DocumentErrors};
use crate::expr::{AccountRule, AccountScope, Strictness};
use crate::name::TargetName;
use crate::policy::LABEL_CHARS_MAX;
use crate::schema::AccountSchema;

/// Most names in `own`, and most ids: break-glass accounts are few; more are a rule.
pub const PROTECTED_MAX: usize = 1_000;
/// Attributes that usually hold what an account is signed in with, beside those by which the target recognises accounts.
const LOGIN_ATTRIBUTES: [&str; 8] = [
    "email",
    "login",
    "sAMAccountName",
    "uid",
    "userName",
    "userPrincipalName",
    "user_name",
    "username",
];

/// `protected` of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protected {
    /// Names of the accounts Usher signs in as; `None` where the document does not say.
    pub own: Option<BTreeSet<String>>,
    /// The target's own ids of accounts.
    pub ids: BTreeSet<String>,
    /// Which others.
    pub when: Option<AccountRule>,
    /// Line and column of the rule in its document; 0 where there is none.
    pub when_at: (usize, usize),
}

/// Which accounts of a target are protected, ready to be asked for many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protection {
    /// In lower case.
    own: BTreeSet<String>,
    /// In lower case.
    ids: BTreeSet<String>,
    when: Option<AccountRule>,
    login_attributes: BTreeSet<String>,
}

impl Target {
    /// Which of its accounts are protected. `recognised_by`: the attributes by which it recognises accounts.
    pub fn protection(&self, recognised_by: &[String]) -> Protection {
        let own = match &self.protected.own {
            Some(own) => own.iter().map(|name| name.to_lowercase()).collect(),
            None => self
                .signs_in_as()
                .iter()
                .map(|name| name.to_lowercase())
                .collect(),
        };
        let usual = LOGIN_ATTRIBUTES.iter().map(|name| (*name).to_owned());
        Protection {
            own,
            ids: self.protected.ids.iter().map(|id| id.to_lowercase()).collect(),
            when: self.protected.when.clone(),
            login_attributes: usual.chain(recognised_by.iter().cloned()).collect(),
        }
    }

    /// The names this target is signed in with, as far as the document tells: tokens name nobody.
    fn signs_in_as(&self) -> Vec<&str> {
        let sql = self.grants.sql.iter().filter_map(|grant| match &grant.database {
            SqlDatabase::Postgresql(server) | SqlDatabase::Mysql(server) => Some(server.user.as_str()),
            SqlDatabase::Sqlite(_) => None,
        });
        let http = self.http_auth.iter().filter_map(|auth| match auth {
            HttpAuth::Basic { username, .. } => Some(username.as_str()),
            HttpAuth::Bearer(_) | HttpAuth::Header { .. } | HttpAuth::Query { .. } | HttpAuth::OAuth2(_) => {
                None
            }
        });
        sql.chain(http).collect()
    }
}

impl Protection {
    /// Why an account that is there is protected, if it is. `attributes`: what was last observed of it.
    pub fn of(&self, id: &str, attributes: &Attributes) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let folded = id.to_lowercase();
        if self.ids.contains(&folded) {
            return Some("its id is among the protected ones of its target".to_owned());
        }
        if self.is_own(&folded, attributes) {
            return Some("it is the account Usher itself signs in with".to_owned());
        }
        let rule = self.when.as_ref()?;
        match rule.holds(&AccountScope::new(id, attributes)) {
            Ok(true) => Some(format!("the target protects accounts where {}", rule.source())),
            Ok(false) => None,
            Err(error) => Some(format!(
                "whether the target protects it cannot be said, so it is protected: {}",
                error.message
            )),
        }
    }

    /// Why an account with these attributes must not be made: it would be protected from then on, and nothing could take it away again.
    ///
    /// What cannot be said before the account is there forbids nothing: many attributes are the target's own to give.
    pub fn of_new(&self, attributes: &Attributes) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        if self.is_own("", attributes) {
            return Some("it would have the name Usher itself signs in with".to_owned());
        }
        let rule = self.when.as_ref()?;
        match rule.holds(&AccountScope::new("", attributes)) {
            Ok(true) => Some(format!("the target protects accounts where {}", rule.source())),
            Ok(false) | Err(_) => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.ids.is_empty() && self.when.is_none()
    }

    fn is_own(&self, folded_id: &str, attributes: &Attributes) -> bool {
        if self.own.is_empty() {
            return false;
        }
        let signs_in_with = |name: &String| {
            let value = attributes.get(name).and_then(serde_json::Value::as_str);
            value.is_some_and(|value| self.own.contains(&value.to_lowercase()))
        };
        self.own.contains(folded_id) || self.login_attributes.iter().any(signs_in_with)
    }
}

/// Finds rules that read attributes the accounts of their target do not have. Targets without a schema are passed over. `file` is the
/// document's file, shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn check_protected(
    targets: &Targets,
    file: &str,
    schemas: &BTreeMap<TargetName, AccountSchema>,
) -> Result<(), DocumentErrors> {
    let mut errors = Vec::new();
    for target in targets.targets.values() {
        let (Some(rule), Some(schema)) = (&target.protected.when, schemas.get(&target.name)) else {
            continue;
        };
        for name in rule.reads().filter(|name| *name != "id" && !schema.takes(name)) {
            let hint = did_you_mean(name, schema.names());
            let (line, column) = target.protected.when_at;
            errors.push(DocumentError {
                file: file.to_owned(),
                line,
                column,
                path: format!("targets.{}.protected.when", target.name),
                expression: Some(rule.source().to_owned()),
                message: format!("accounts of this target have no attribute `{name}`{hint}"),
            });
        }
    }
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() {
        Ok(())
    } else {
        Err(DocumentErrors(errors))
    }
}

/// `protected` of a target.
pub(super) fn read_protected(item: &Item<'_, '_>, strictness: Strictness) -> Option<Protected> {
    let table = item.table()?;
    let own = table
        .take("own")
        .map_or(Some(None), |item| read_names(&item).map(Some));
    let ids = table
        .take("ids")
        .map_or(Some(BTreeSet::new()), |item| read_names(&item));
    let when_item = table.take("when");
    let when = when_item
        .as_ref()
        .map_or(Some(None), |item| read_rule(item, strictness).map(Some));
    let when_at = when_item
        .map(|item| item.place())
        .map_or((0, 0), |place| (place.line, place.column));
    table.finish();
    Some(Protected {
        own: own?,
        ids: ids?,
        when: when?,
        when_at,
    })
}

fn read_names(item: &Item<'_, '_>) -> Option<BTreeSet<String>> {
    let items = item.list()?;
    if items.len() > PROTECTED_MAX {
        item.mistake(format!("more than {PROTECTED_MAX} names; say it with `when`"));
        return None;
    }
    let names: Vec<Option<String>> = items
        .iter()
        .map(|item| item.label(LABEL_CHARS_MAX).map(ToOwned::to_owned))
        .collect();
    names.into_iter().collect()
}

fn read_rule(item: &Item<'_, '_>, strictness: Strictness) -> Option<AccountRule> {
    let source = item.text()?;
    match AccountRule::compile_as(item.path(), source, strictness) {
        Ok(rule) => Some(rule),
        Err(mistakes) => {
            for mistake in mistakes {
                item.mistake_in_expression(source, mistake.offset, mistake.message);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::targets::{parse, parse_strictly};

    fn protection(text: &str) -> Protection {
        let targets = parse_strictly("targets.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
        let target = targets.targets.values().next().unwrap();
        target.protection(&["handle".to_owned()])
    }

    fn attributes(value: &Value) -> Attributes {
        value.as_object().cloned().unwrap()
    }

    fn why(protection: &Protection, id: &str, value: &Value) -> Option<String> {
        protection.of(id, &attributes(value))
    }

    const SQL: &str = "
[targets.app]
connector = 'sql'
[[targets.app.grants.sql]]
endpoint = 'main'
[targets.app.grants.sql.postgresql]
host = 'db.example.com'
database = 'app'
user = 'Usher'
password = { env = 'APP' }
";

    #[test]
    fn nothing_is_protected_unless_said() {
        let none = protection("[targets.app]\nconnector = 'sim'\n");
        assert_eq!(why(&none, "root", &json!({ "username": "root" })), None);
        assert_eq!(none.of_new(&attributes(&json!({ "username": "usher" }))), None);
    }

    #[test]
    fn ids_are_protected_in_any_case() {
        let some = protection("[targets.app]\nconnector = 'sim'\nprotected = { ids = ['Break-Glass'] }\n");
        insta::assert_snapshot!(why(&some, "break-glass", &json!({})).unwrap(), @"its id is among the protected ones of its target");
        assert_eq!(why(&some, "other", &json!({ "username": "break-glass" })), None);
    }

    #[test]
    fn whom_usher_signs_in_as_is_derived_where_a_name_is_given() {
        let derived = protection(SQL);
        insta::assert_snapshot!(why(&derived, "usher", &json!({})).unwrap(), @"it is the account Usher itself signs in with");
        for name in ["username", "handle", "sAMAccountName"] {
            assert!(why(&derived, "17", &json!({ name: "USHER" })).is_some(), "{name}");
        }
        assert_eq!(why(&derived, "17", &json!({ "nickname": "usher" })), None);
        assert!(
            derived
                .of_new(&attributes(&json!({ "username": "usher" })))
                .is_some()
        );
        let basic = "[targets.app]\nconnector = 'scim'\nhttp-auth = { basic = { username = 'bot', password = { env = 'P' } } }\n[[targets.app.grants.http]]\nscheme = 'https'\nhost = 'app.example.com'\n";
        assert!(why(&protection(basic), "bot", &json!({})).is_some());
    }

    #[test]
    fn what_the_document_says_of_own_accounts_counts_instead() {
        let said =
            protection(&SQL.replace("connector = 'sql'", "connector = 'sql'\nprotected.own = ['svc']"));
        assert_eq!(why(&said, "usher", &json!({})), None);
        assert!(why(&said, "svc", &json!({})).is_some());
        let none = protection(&SQL.replace("connector = 'sql'", "connector = 'sql'\nprotected.own = []"));
        assert_eq!(why(&none, "usher", &json!({})), None);
    }

    const FILTER: &str = "[targets.app]\nconnector = 'sim'\nprotected.when = \"account.username == 'root' || account.username.startsWith('svc-') || account.id == '0'\"\n";

    #[test]
    fn a_rule_reads_the_id_and_the_attributes() {
        let rule = protection(FILTER);
        for (id, username, protected) in [
            ("7", "root", true),
            ("7", "svc-backup", true),
            ("0", "ann", true),
            ("7", "ann", false),
        ] {
            let found = why(&rule, id, &json!({ "username": username, "id": "0" }));
            assert_eq!(found.is_some(), protected, "{id} {username}: {found:?}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_protected_once_it_is_there() {
        let rule = protection(FILTER);
        insta::assert_snapshot!(why(&rule, "7", &json!({})).unwrap(), @"whether the target protects it cannot be said, so it is protected: `username` is absent for this account; ask with has(account.username) or account.?username");
        let long = "x".repeat(5_000);
        assert!(why(&rule, &long, &json!({ "username": "ann" })).is_some());
        assert!(why(&rule, "7", &json!({ "username": long })).is_some());
        assert_eq!(rule.of_new(&attributes(&json!({}))), None, "but it may be made");
        assert!(
            rule.of_new(&attributes(&json!({ "username": "svc-x" })))
                .is_some()
        );
        assert_eq!(rule.of_new(&attributes(&json!({ "username": "ann" }))), None);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let text = "[targets.app]\nconnector = 'sim'\n[targets.app.protected]\nwhen = \"identity.x == 'a'\"\nids = ['']\nowns = []\n[targets.b]\nconnector = 'sim'\nprotected.when = \"account.username + 1\"\n[targets.c]\nconnector = 'sim'\nprotected.when = \"account == 'x' || state == 'active'\"\n";
        insta::assert_snapshot!(parse_strictly("targets.toml", text).unwrap_err());
    }

    #[test]
    fn a_rule_must_fit_the_accounts_of_its_target() {
        let targets = parse_strictly("targets.toml", FILTER).unwrap();
        let schema = |properties| AccountSchema::parse(&json!({ "properties": properties })).unwrap();
        let check = |schema| {
            check_protected(
                &targets,
                "targets.toml",
                &BTreeMap::from([("app".parse().unwrap(), schema)]),
            )
        };
        let other = schema(json!({ "userName": {} }));
        insta::assert_snapshot!(check(other).unwrap_err(), @r"
        targets.toml:3:18: targets.app.protected.when: accounts of this target have no attribute `username`; did you mean `userName`?
            account.username == 'root' || account.username.startsWith('svc-') || account.id == '0'
        ");
        assert_eq!(check(schema(json!({ "username": {} }))), Ok(()));
        assert_eq!(check(AccountSchema::default()), Ok(()));
        assert_eq!(
            check_protected(&targets, "targets.toml", &BTreeMap::new()),
            Ok(())
        );
    }

    #[test]
    fn a_stored_document_stays_readable_with_what_only_a_new_one_may_not_have() {
        let text = "[targets.app]\nconnector = 'sim'\nprotected.when = \"'a' == 1 && account.x == 'b'\"\n";
        parse("targets", text).unwrap();
    }
}

//! What the document says of roles, separations and mappings, and what is wrong with it.

use super::*;
use crate::diff::Strength;

const SOURCE: &str = r#"zone = "UTC"
[sources.hr]
key = "id"
columns = { id = { attribute = "id" } }
"#;

fn read(text: &str) -> Policy {
    parse("policy.toml", &format!("{SOURCE}{text}")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(text: &str) -> String {
    parse("policy.toml", &format!("{SOURCE}{text}"))
        .unwrap_err()
        .to_string()
}

#[test]
fn roles_of_the_example() {
    let policy = example();
    let role = |name: &str| {
        policy
            .roles
            .iter()
            .find(|role| role.name.as_str() == name)
            .unwrap()
    };
    assert_eq!(
        (role("engineer").overlap_days, role("employee").overlap_days),
        (14, 0)
    );
    assert!(role("remote").when.is_none());
    assert_eq!(role("team-lead").includes, ["remote".parse().unwrap()]);
    let app = "app".parse().unwrap();
    let given = &role("remote").entitlements[&AccountSlot {
        target: app,
        kind: crate::name::Name::primary(),
    }];
    assert_eq!(given["vpn"], json!({"level": 2}));
    let of: Vec<String> = policy.separations[0].of.iter().map(ToString::to_string).collect();
    assert_eq!(of, ["role:payer", "entitlement:app:approve"]);
}

#[test]
fn a_role_gives_the_accounts_of_what_it_includes() {
    let policy = read(
        r#"
[[roles]]
name = "top"
includes = ["middle"]
[[roles]]
name = "middle"
includes = ["bottom"]
[[roles]]
name = "bottom"
accounts = ["app", "app/admin"]
[mappings.app]
id = { value = "identity.id", strength = "weak" }
[mappings."app/admin"]
id = "identity.id"
"#,
    );
    let slot = AccountSlot {
        target: "app".parse().unwrap(),
        kind: "admin".parse().unwrap(),
    };
    assert!(policy.roles.iter().all(|role| policy.gives_account(role, &slot)));
    let other = AccountSlot {
        target: "app".parse().unwrap(),
        kind: "test".parse().unwrap(),
    };
    assert!(!policy.gives_account(&policy.roles[0], &other));
    assert!(unused_mappings(&policy).is_empty());
    let strengths: Vec<Strength> = policy
        .mappings
        .values()
        .flat_map(|mapping| mapping.managed.values().copied())
        .collect();
    assert_eq!(strengths, [Strength::Normal, Strength::Weak]);
}

#[test]
fn a_role_that_includes_itself_is_refused_with_its_way() {
    insta::assert_snapshot!(
        refused(
            r#"
[[roles]]
name = "a"
includes = ["b", "d"]
[[roles]]
name = "b"
includes = ["c"]
[[roles]]
name = "c"
includes = ["d", "a"]
[[roles]]
name = "d"
[[roles]]
name = "e"
includes = ["e"]
"#,
        ),
        @r#"
    policy.toml:14:18: roles.c.includes[1]: a role cannot include itself: a → b → c → a
    policy.toml:19:13: roles.e.includes[0]: a role cannot include itself: e → e
    "#
    );
}

#[test]
fn a_thousand_roles_inside_each_other_are_read() {
    let chain: String = (0..ROLES_MAX)
        .map(|place| {
            let next = if place + 1 < ROLES_MAX {
                format!("includes = ['r{}']\n", place + 1)
            } else {
                String::new()
            };
            format!("[[roles]]\nname = 'r{place}'\n{next}")
        })
        .collect();
    let policy = read(&chain);
    let mut reached = vec![false; policy.roles.len()];
    policy.reach(&[0], &mut reached);
    assert!(reached.iter().all(|reached| *reached));
}

#[test]
fn mistakes_in_roles_are_listed() {
    insta::assert_snapshot!(refused(
        r#"
[[roles]]
name = "a"
includes = ["a1", "B", "c", "c"]
overlap-days = 400
[roles.entitlements]
app = [{ id = "vpn", parameter = { level = 2 } }, { parameters = { x = 1 } }, { id = "y", parameters = 7 }, "vpn"]
[[roles]]
name = "b"
overlap = 3
"#,
    ));
    insta::assert_snapshot!(refused(
        r#"
[[roles]]
name = "alpha"
includes = ["betta"]
[[roles]]
name = "beta"
"#,
    ), @"policy.toml:8:13: roles.alpha.includes[0]: there is no role `betta`; did you mean `beta`?");
}

#[test]
fn mistakes_in_separations_are_listed() {
    insta::assert_snapshot!(refused(
        r#"
[[roles]]
name = "payer"
includes = ["clerk"]
[roles.entitlements]
app = ["pay"]
[[roles]]
name = "clerk"
[roles.entitlements]
"app/admin" = ["a:b"]
[[separation]]
name = "one"
of = ["role:payer"]
[[separation]]
name = "one"
of = ["role:payer", "role:player", "role:payer", "role:clerk"]
[[separation]]
name = "two"
of = ["entitlement:app:pay", "role:payer", "entitlement:app/admin:a:b", "entitlement:app:nothing", "entitlement:app", "payer"]
[[separation]]
off = []
"#,
    ));
    let fine = read(
        r#"
[[roles]]
name = "a"
[roles.entitlements]
"app/admin" = ["a:b"]
[[roles]]
name = "b"
[[separation]]
name = "one"
of = ["entitlement:app/admin:a:b", "role:b"]
"#,
    );
    assert_eq!(fine.separations[0].of[0].to_string(), "entitlement:app/admin:a:b");
}

#[test]
fn mistakes_in_mappings_are_listed() {
    insta::assert_snapshot!(refused(
        r#"
[mappings.app]
a = { value = "identity.id", strength = "strong" }
b = { candidates = ["identity.id"] }
c = { candidates = ["identity.id"], unique = false }
d = { candidates = [], unique = true }
e = { value = "identity.id", candidates = ["identity.id"], unique = true }
f = { value = "identity.id", follow-name = true }
g = { strength = "weak" }
h = { value = "identity.nosuch", uniq = true }
i = { candidates = ["identity.id", "identity.id +"], unique = true }
j = 7
"#,
    ));
}

//! Refuses a role that may do too much. What a connector's SQL can do is decided by the rights of the role it runs as, so they are
//! read from the server before the first statement, on every connection.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::sql::SqlError;
use crate::sql::target_server::Server;

use super::error;

/// Attributes that reach beyond tables; roles that give the server's files, programs or other people's data; functions that reach its
/// files or its network; what is owned, as an owner passes rights on and changes what things are; and rights that may be passed on.
/// A role one is a member of counts as well: `set_config('role', …)` is a function that anybody may call.
///
/// Other databases need no look: a connection cannot leave its own.
const TOO_MUCH: &str = "
SELECT CASE WHEN r.rolname = session_user THEN a.name ELSE pg_catalog.format('%s through role `%s`', a.name, r.rolname) END
  FROM pg_catalog.pg_roles r
 CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                            ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) AS a(name, held)
 WHERE a.held AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
   AND (r.rolname = session_user OR NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles s WHERE s.rolname = session_user))
UNION ALL
SELECT pg_catalog.format('member of `%s`', r.rolname)
  FROM pg_catalog.pg_roles r
 WHERE r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_create_subscription',
                     'pg_read_all_data', 'pg_write_all_data')
   AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
   AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles s WHERE s.rolname = session_user)
UNION ALL
SELECT pg_catalog.format('EXECUTE on function %s', p.oid::pg_catalog.regprocedure)
  FROM pg_catalog.pg_proc p
 WHERE p.proname IN ('pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'pg_stat_file', 'pg_file_read', 'pg_file_write',
                     'lo_import', 'lo_export', 'dblink', 'dblink_connect', 'dblink_connect_u', 'dblink_exec', 'dblink_open',
                     'dblink_send_query')
   AND pg_catalog.has_function_privilege(session_user, p.oid, 'EXECUTE')
   AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles s WHERE s.rolname = session_user)
UNION ALL
SELECT pg_catalog.format('owner of %s', o.what)
  FROM (SELECT c.relowner AS owner, pg_catalog.format('table %s', c.oid::pg_catalog.regclass) AS what
          FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
        UNION ALL
        SELECT n.nspowner, pg_catalog.format('schema %I', n.nspname)
          FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp_'
        UNION ALL
        SELECT p.proowner, pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc p
        UNION ALL
        SELECT d.datdba, pg_catalog.format('database %I', d.datname) FROM pg_catalog.pg_database d) AS o
 WHERE pg_catalog.pg_has_role(session_user, o.owner, 'MEMBER')
   AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles s WHERE s.rolname = session_user)
UNION ALL
SELECT pg_catalog.format('GRANT OPTION for %s on %s', a.privilege_type, g.what)
  FROM (SELECT c.relacl AS acl, pg_catalog.format('table %s', c.oid::pg_catalog.regclass) AS what FROM pg_catalog.pg_class c
        UNION ALL
        SELECT t.attacl, pg_catalog.format('column %I of table %s', t.attname, t.attrelid::pg_catalog.regclass)
          FROM pg_catalog.pg_attribute t WHERE NOT t.attisdropped
        UNION ALL
        SELECT n.nspacl, pg_catalog.format('schema %I', n.nspname) FROM pg_catalog.pg_namespace n
        UNION ALL
        SELECT p.proacl, pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc p
        UNION ALL
        SELECT d.datacl, pg_catalog.format('database %I', d.datname) FROM pg_catalog.pg_database d) AS g
 CROSS JOIN LATERAL pg_catalog.aclexplode(g.acl) AS a
 WHERE a.is_grantable AND a.grantee <> 0 AND pg_catalog.pg_has_role(session_user, a.grantee, 'MEMBER')
   AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles s WHERE s.rolname = session_user)
UNION ALL
SELECT pg_catalog.format('ADMIN OPTION for role `%s`', r.rolname)
  FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
 WHERE m.admin_option AND pg_catalog.pg_has_role(session_user, m.member, 'MEMBER')
   AND NOT (SELECT s.rolsuper FROM pg_catalog.pg_roles s WHERE s.rolname = session_user)";
/// Rights named in a message.
const SHOWN_MAX: usize = 8;
/// How a right role is made.
const REMEDY: &str = "Make a role for this alone, which owns nothing: CREATE ROLE usher_app LOGIN PASSWORD '…'; \
     GRANT SELECT, INSERT, UPDATE, DELETE ON users, memberships TO usher_app; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO \
     usher_app; a function is taken from everybody by REVOKE EXECUTE ON FUNCTION … FROM PUBLIC";

pub(super) async fn check(server: &Server, client: &Client) -> Result<(), SqlError> {
    let answer = client.simple_query(TOO_MUCH).await;
    let answer = answer.map_err(|failed| error::connecting(server, &failed))?;
    let rights: Vec<String> = answer
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .take(SHOWN_MAX)
        .collect();
    if rights.is_empty() {
        return Ok(());
    }
    Err(server.too_mighty(&rights, REMEDY))
}

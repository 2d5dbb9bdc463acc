//! Refuses a role that may do too much. What a connector's SQL can do is decided by the rights of the role it runs as, so they are
//! read from the server before the first statement, on every connection.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::sql::SqlError;
use crate::sql::target_server::Server;

use super::error;

/// Attributes that reach beyond tables; roles that give the server's files, programs or other people's data; and functions that
/// reach its files or its network. A role one is a member of counts as well: `set_config('role', …)` is a function that anybody may call.
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

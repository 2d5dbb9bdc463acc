//! Several writers on one PostgreSQL.

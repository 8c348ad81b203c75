"""What the roles of the stack's own PostgreSQL may do, as SQL that is run at every `up`."""

#: `bdemo query sql` runs any statement as this role: a session may set itself more time, not more rights.
ROLE_LIMITS = """
    alter role bdemo_reader nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    alter role bdemo_reader set default_transaction_read_only = on;
    alter role bdemo_reader set statement_timeout = '10s';
    alter role bdemo_reader connection limit 60;
    alter role bdemo_loader nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 20;
"""

#: The tables' database is all that a role may enter, and readings are still stored when readers take all connections.
ROLES = """
    revoke connect on database postgres, template1 from public;
    grant pg_use_reserved_connections to bdemo, bdemo_loader;
"""

#: By default every role may make temporary tables, and end connections of its own name: here the gateway's.
RIGHTS_IN_DATABASE = """
    grant select on all tables in schema public to bdemo_reader;
    alter default privileges for role bdemo in schema public grant select on tables to bdemo_reader;
    grant select, insert, update on all tables in schema public to bdemo_loader;
    alter default privileges for role bdemo in schema public grant select, insert, update on tables to bdemo_loader;
    do $$ begin
        if to_regclass('public.retention') is not null then
            revoke insert, update on retention from bdemo_loader;
        end if;
    end $$;
    revoke create on schema public from public;
    revoke temporary on database temperature from public;
    revoke execute on function pg_terminate_backend, pg_cancel_backend from public;
"""

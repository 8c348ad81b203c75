"""Retention: what is kept, and the functions of the tables' owner that drop the rest."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# They run with the owner's rights, so that the loader's role removes no row but those that the owner no longer keeps.
# The lock waits for the transactions under way, which all move the fence, and every later one sees the new time.
ADVANCE = """
create function advance_retention() returns double precision language plpgsql
security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  due double precision;
begin
  select floor((extract(epoch from now())::float8 - keep_s) / 86400 - 1) * 86400 into due from public.retention;
  if due > (select kept_from from public.retention) then
    lock table public.fence in share mode;
    update public.retention set kept_from = due;
  end if;
  return (select kept_from from public.retention);
end $$
"""

# A sensor's last rows before the cut stay: they are part of the averages behind it.
DROP = """
create function drop_readings(before_kept integer) returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
  policy public.retention;
  until double precision;
  cut double precision;
  sensor bigint;
  gone bigint;
  readings_gone bigint := 0;
  averages_gone bigint := 0;
begin
  select * into policy from public.retention for update;
  if policy.keep_s is null or policy.dropped_to >= policy.kept_from
      or exists (select from public.stale_hour where hour < policy.kept_from) then
    return null;
  end if;
  until := policy.dropped_to;
  if until = '-infinity' then
    with recursive known as (
      (select sensor_num, timestamp from public.temperature order by sensor_num, timestamp limit 1)
      union all
      select above.* from known cross join lateral (
        select sensor_num, timestamp from public.temperature where sensor_num > known.sensor_num
        order by sensor_num, timestamp limit 1
      ) above
    )
    select coalesce(floor(min(timestamp) / 86400) * 86400, policy.kept_from) into until from known;
  end if;
  until := least(until + 86400, policy.kept_from);
  for sensor in
    with recursive known as (
      (select sensor_num from public.temperature order by sensor_num limit 1)
      union all
      select above.sensor_num from known cross join lateral (
        select sensor_num from public.temperature where sensor_num > known.sensor_num order by sensor_num limit 1
      ) above
    )
    select sensor_num from known
  loop
    cut := until;
    if before_kept > 0 then
      select (
        select timestamp from public.temperature where sensor_num = sensor and timestamp < until
        order by timestamp desc offset before_kept - 1 limit 1
      ) into cut;
    end if;
    delete from public.temperature where sensor_num = sensor and timestamp < cut;
    get diagnostics gone = row_count;
    readings_gone := readings_gone + gone;
    delete from public.average where sensor_num = sensor and timestamp < cut;
    get diagnostics gone = row_count;
    averages_gone := averages_gone + gone;
  end loop;
  update public.retention set
    dropped_to = until, readings = readings + readings_gone, averages = averages + averages_gone;
  return readings_gone;
end $$
"""


def upgrade() -> None:
    op.create_table(
        "retention",
        sa.Column("single", sa.Boolean, sa.CheckConstraint("single"), primary_key=True, server_default="true"),
        sa.Column("keep_s", sa.Double),
        sa.Column("kept_from", sa.Double, nullable=False, server_default="-infinity"),
        sa.Column("dropped_to", sa.Double, nullable=False, server_default="-infinity"),
        sa.Column("readings", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("averages", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.execute("insert into retention default values")
    for function in (ADVANCE, DROP):
        op.execute(function)
    # dropped rows leave room that the next ones take: it is found before much has gathered
    for table in ("temperature", "average"):
        op.execute(f"alter table {table} set (autovacuum_vacuum_scale_factor = 0.05)")
    op.execute("revoke execute on function advance_retention, drop_readings from public")
    op.execute("""
        do $$ begin
            if exists (select from pg_roles where rolname = 'bdemo_loader') then
                revoke insert, update on retention from bdemo_loader;
                grant execute on function advance_retention, drop_readings to bdemo_loader;
            end if;
        end $$
    """)

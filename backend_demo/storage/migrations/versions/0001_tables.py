"""The tables: temperature, average and the loader's fence."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for name in ("temperature", "average"):
        op.create_table(
            name,
            sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
            sa.Column("sensor_num", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("timestamp", sa.Double, primary_key=True),
            sa.Column("value", sa.Double, nullable=False),
        )
    op.create_table(
        "fence",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    # the gateway's role, where the stack made one: it reads what there is and what will be
    op.execute("""
        do $$ begin
            if exists (select from pg_roles where rolname = 'bdemo_reader') then
                grant select on all tables in schema public to bdemo_reader;
                alter default privileges in schema public grant select on tables to bdemo_reader;
            end if;
        end $$
    """)

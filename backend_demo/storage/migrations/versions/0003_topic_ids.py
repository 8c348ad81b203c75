"""The topic's id beside its fence: a topic that was deleted and created again has another one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("fence", sa.Column("topic_id", sa.Text, nullable=False, server_default=""))

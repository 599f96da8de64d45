"""Which large files of the store this hub put there."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    stored = op.create_table(
        "stored_object",
        sa.Column("oid", sa.String(length=64), nullable=False),
        sa.Column("begun_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("oid"),
    )
    # Whatever projects refer to was put there by it so far.
    oid = sa.table("large_object", sa.column("oid", sa.String(length=64))).c.oid
    at = sa.literal(datetime.now(UTC).replace(tzinfo=None), sa.DateTime())
    op.execute(sa.insert(stored).from_select(["oid", "begun_at"], sa.select(oid, at).distinct()))


def downgrade() -> None:
    op.drop_table("stored_object")

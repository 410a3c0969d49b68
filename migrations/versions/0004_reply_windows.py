"""how often a person may be written to, and who has them

A new table only: the code before it does not look at it.
"""

import sqlalchemy as sa
from alembic import op


revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    op.create_table('reply_windows',
    sa.Column('platform', sa.String(length=40), nullable=False),
    sa.Column('account', sa.String(length=200), nullable=False),
    sa.Column('channel', sa.String(length=200), nullable=False),
    sa.Column('thread', sa.String(length=200), nullable=False),
    sa.Column('person', sa.String(length=200), nullable=False),
    sa.Column('salt', sa.String(length=32), nullable=False),
    sa.Column('heard_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('heard_id', sa.String(length=200), nullable=False),
    sa.Column('sent', sa.JSON(), nullable=False),
    sa.Column('held_by', sa.Enum('bot', 'queue', 'person', name='held_by', native_enum=False, length=20), nullable=False),
    sa.Column('held_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('welcome', sa.String(length=64), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('platform', 'account', 'channel', 'thread', name=op.f('pk_reply_windows'))
    )
    with op.batch_alter_table('reply_windows', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_reply_windows_person'), ['person'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('reply_windows', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_reply_windows_person'))

    op.drop_table('reply_windows')

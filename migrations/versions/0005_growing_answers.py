"""answers that grow in a place of their message's, and what one process at a time may do

New tables only: the code before them does not look at them.
"""

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    op.create_table('growing_answers',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('platform', sa.String(length=40), nullable=False),
    sa.Column('account', sa.String(length=200), nullable=False),
    sa.Column('channel', sa.String(length=200), nullable=False),
    sa.Column('thread', sa.String(length=200), nullable=False),
    sa.Column('inbound_id', sa.Integer(), nullable=False),
    sa.Column('language', sa.String(length=35), nullable=False),
    sa.Column('request', sa.String(length=300), nullable=False),
    sa.Column('code', sa.String(length=1000), nullable=False),
    sa.Column('code_for', sa.String(length=80), nullable=False),
    sa.Column('state', sa.Enum('open', 'answered', 'late', 'ended', 'elsewhere', name='state', native_enum=False, length=20), nullable=False),
    sa.Column('turn', sa.String(length=200), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('card', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('fetched', sa.Integer(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['inbound_id'], ['inbound.id'], name=op.f('fk_growing_answers_inbound_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_growing_answers')),
    sa.UniqueConstraint('inbound_id', name=op.f('uq_growing_answers_inbound_id'))
    )
    with op.batch_alter_table('growing_answers', schema=None) as batch_op:
        batch_op.create_index('ix_growing_answers_place', ['platform', 'account', 'channel', 'thread', 'state'], unique=False)
        batch_op.create_index(batch_op.f('ix_growing_answers_updated_at'), ['updated_at'], unique=False)

    op.create_table('leases',
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('owner', sa.String(length=200), nullable=False),
    sa.Column('beat', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_leases'))
    )


def downgrade() -> None:
    op.drop_table('leases')
    with op.batch_alter_table('growing_answers', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_growing_answers_updated_at'))
        batch_op.drop_index('ix_growing_answers_place')

    op.drop_table('growing_answers')

"""calls of functions

A new table only: the code before it does not look at it.
"""

import sqlalchemy as sa
from alembic import op


revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_table('function_calls',
    sa.Column('key', sa.String(length=300), nullable=False),
    sa.Column('turn_id', sa.String(length=200), nullable=False),
    sa.Column('person_id', sa.String(length=200), nullable=False),
    sa.Column('function', sa.String(length=64), nullable=False),
    sa.Column('result', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['people.id'], name=op.f('fk_function_calls_person_id')),
    sa.ForeignKeyConstraint(['turn_id'], ['turns.id'], name=op.f('fk_function_calls_turn_id')),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_function_calls'))
    )
    with op.batch_alter_table('function_calls', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_function_calls_person_id'), ['person_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_function_calls_turn_id'), ['turn_id'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('function_calls', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_function_calls_turn_id'))
        batch_op.drop_index(batch_op.f('ix_function_calls_person_id'))

    op.drop_table('function_calls')

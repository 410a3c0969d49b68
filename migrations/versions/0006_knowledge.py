"""the knowledge's ledger

New tables, and a column that the code before it leaves empty.
"""

import sqlalchemy as sa
from alembic import op


revision = '0006'
down_revision = '0005'


def upgrade() -> None:
    op.create_table('knowledge_versions',
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('key', sa.String(length=32), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('collection', sa.Text(), nullable=False),
    sa.Column('added', sa.Integer(), nullable=False),
    sa.Column('changed', sa.Integer(), nullable=False),
    sa.Column('removed', sa.Integer(), nullable=False),
    sa.Column('basis', sa.Integer(), nullable=True),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_knowledge_versions'))
    )
    op.create_table('knowledge_contents',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('passages', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_knowledge_contents'))
    )
    op.create_table('knowledge_documents',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('collection', sa.Text(), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('since', sa.Integer(), nullable=False),
    sa.Column('until', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['digest'], ['knowledge_contents.digest'], name=op.f('fk_knowledge_documents_digest')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_knowledge_documents'))
    )
    with op.batch_alter_table('knowledge_documents', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_knowledge_documents_digest'), ['digest'], unique=False)
        batch_op.create_index(batch_op.f('ix_knowledge_documents_until'), ['until'], unique=False)

    with op.batch_alter_table('turns', schema=None) as batch_op:
        batch_op.add_column(sa.Column('knowledge_version', sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('turns', schema=None) as batch_op:
        batch_op.drop_column('knowledge_version')

    with op.batch_alter_table('knowledge_documents', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_knowledge_documents_until'))
        batch_op.drop_index(batch_op.f('ix_knowledge_documents_digest'))
    op.drop_table('knowledge_documents')
    op.drop_table('knowledge_contents')
    op.drop_table('knowledge_versions')

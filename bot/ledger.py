"""The knowledge's ledger in the product's own database."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from bot.errors import StoreUnavailable
from bot.history.database import Database
from bot.history.ledger import LedgerTransactions
from bot.history.tables import knowledge_contents, knowledge_documents, knowledge_versions
from knowledge.ledger import Ledger
from knowledge.sql_ledger import LedgerTables, SqlLedger

TABLES = LedgerTables(versions=knowledge_versions, contents=knowledge_contents, documents=knowledge_documents)


def product_ledger(database: Database, url: str) -> Ledger:
    """The ledger that `kefu run` and `kefu knowledge` share."""
    return SqlLedger(LedgerTransactions(database, url), TABLES, unavailable=(StoreUnavailable, DBAPIError))

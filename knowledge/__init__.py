"""The company's knowledge: documents, chunks, vectors and search. Knows nothing of the bot.

The interface others build on (import from the modules named; importing `knowledge` costs nothing):

    from knowledge.config import KnowledgeConfig        # uri, embedder, reranker, synonyms, top_k, keep_versions
    from knowledge.service import Knowledge, open_knowledge
    from knowledge.values import Hit, SyncReport, Problem, CollectionSummary
    from knowledge.errors import KnowledgeError         # str() is one line for the operator
    from knowledge.scope import Scope                   # collections, tags, language: what a search may find

    from knowledge.ledger import Ledger, difference     # what the knowledge is and was; the bot brings its own

    async with open_knowledge(KnowledgeConfig(uri=…, embedder=…, top_k=…), ledger=…, cache=…) as knowledge:
        knowledge.embedder: Embedder                     # name, dimension, embed(texts, kind), blocking
        knowledge.retriever: Retriever
        await knowledge.ensure_samples() -> SyncReport | None      # mends the index; samples into an empty one
        await knowledge.begin() -> SyncReport | None     # the same, but searched by words while it is made anew by
        await knowledge.mender.run()                     # … this, for as long as the process runs; mender.standing
        await knowledge.sync([path, …], collection="default", rebuild=False, progress=f) -> SyncReport
        await knowledge.sync_from(read, collection="default") -> SyncReport    # read: async () -> SourceContents
        await knowledge.rollback(number) -> SyncReport             # an older version is the newest one again
        await knowledge.rebuild() -> SyncReport                    # the index anew, from the ledger
        await knowledge.forget(document, collection=None) -> SyncReport
        await knowledge.collections() -> tuple[CollectionSummary, ...]
        await knowledge.check() -> int                   # passages served; KnowledgeError says what is wrong

    from knowledge.embedders import verify_weights      # verify_weights(name): EmbedderError; blocks 70 ms

    class Retriever:
        async def search(self, query: str, *, collections: Sequence[str] = ("default",), tags: Sequence[str] = (),
                         language: str = "", top_k: int | None = None) -> tuple[Hit, ...]
        async def embed_query(self, text: str) -> Vector             # (dimension,) float32, length 1
        async def embed_queries(self, texts: Sequence[str]) -> Vector # (n, dimension), for start-up work
        async def refresh(self) -> int                               # serve the newest version now
        version: int                                                 # of the knowledge being served

`open_knowledge` on an address where nothing was indexed yet is fine: searches find nothing until the
first sync. An index made with another embedder raises IndexMismatchError naming `--rebuild`.
"""

"""The embedder by its name in the settings."""

from knowledge.embedders.base import Embedder, Kind, Vector
from knowledge.errors import EmbedderError

__all__ = ["Embedder", "Kind", "Vector", "create_embedder"]

MULTILINGUAL_E5_SMALL = "multilingual-e5-small"
USE_MULTILINGUAL = "use-multilingual"


def create_embedder(name: str) -> Embedder:
    """Loads it: 150 ms for e5, 450 ms for use-multilingual. Blocks.

    Raises EmbedderError for a name this version does not know or whose library is not installed.
    """
    # Imported here: each brings its own library, and only one of them is wanted.
    if name == MULTILINGUAL_E5_SMALL:
        from knowledge.embedders.e5_embedded import E5Embedded

        return E5Embedded()
    if name == USE_MULTILINGUAL:
        from knowledge.embedders.use_multilingual import UseMultilingual

        return UseMultilingual()
    if name.startswith("openai:"):
        raise EmbedderError(f"knowledge.embedder: {name!r}: embedders of an OpenAI-compatible server come later")
    from knowledge.embedders.sentence_transformer import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(name)


def verify_weights(name: str) -> None:
    """Whether an embedded embedder's weights are the ones this version was measured with. Reads them
    whole (70 ms for e5): for `kefu doctor` and before a sync, not for every start.

    Raises EmbedderError when they are not. Embedders that are not embedded are not checked.
    """
    if name == MULTILINGUAL_E5_SMALL:
        from knowledge.embedders import e5_embedded

        e5_embedded.verify_weights()
    elif name == USE_MULTILINGUAL:
        from knowledge.embedders import use_multilingual

        use_multilingual.verify_weights()
